// The commit: what makes a set of data files a checkpoint, and what removes an older one.
#ifndef DCP_CHECKPOINT_COMMIT_H_
#define DCP_CHECKPOINT_COMMIT_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "metadata/metadata.h"
#include "storage/store.h"

namespace dcp {

// What is in the folder before a save: decides generation and names.
struct FolderState {
  bool committed = false;          // `.metadata` or `__0.metadata` is there
  std::vector<std::string> files;  // all regular files
  uint64_t next_generation = 0;    // 0: plain names; else larger than any seen in a name
};
// A folder that is missing is an empty one.
Result<FolderState> InspectFolder(const Store& store);
// kAlreadyExists "Checkpoint already exists ..." unless `overwrite` or nothing is committed.
Status CheckOverwrite(const Store& store, const FolderState& folder, bool overwrite);

// "__{rank}_{n}.distcp" for generation 0, "__{rank}_{n}.g{generation}.distcp" else.
std::string DataFileName(int32_t rank, size_t n, uint64_t generation);
struct DataFile {
  int32_t rank;
  uint64_t n;
  uint64_t generation;
};
bool ParseDataFileName(std::string_view name, DataFile* out);  // exact inverse, nothing else

struct CommitOutcome {
  // False when the commit stands but may not survive a power cut: older files must then stay.
  bool synced = true;
  std::vector<std::string> warnings;
};
// `.metadata`, or `__{rank}.metadata` of a save without collectives, and what it is written as
// first: no two saves have the same temporary file.
struct CommitNames {
  std::string metadata;
  std::string temporary;  // "{metadata}.{save_id}.tmp"
};
CommitNames CommitNamesFor(std::string metadata, std::string_view save_id);
// Whether `name` is such a temporary file, of any save (or upstream's, which names no save), and
// for which metadata file.
bool ParseTemporaryName(std::string_view name, std::string* metadata);

// The two halves of a commit. First: syncs the folder, removes what other saves left unfinished
// under the same metadata name (so that a save that sleeps through its end cannot publish it),
// writes the temporary file and syncs it. Second: renames it into place and syncs the folder.
// Syncs only when `durable`. The old metadata is never removed before. An error means that the old
// one stands and the temporary file is gone, except kOutcomeUnknown: the rename or what follows
// failed and reading the metadata back did not decide. `encode` gives the file's bytes, once to
// write them and once for each reading back.
Status WriteTemporary(Store& store, const CommitNames& names, const ByteProducer& encode,
                      bool durable);
Result<CommitOutcome> RenameIntoPlace(Store& store, const CommitNames& names,
                                      const ByteProducer& encode, bool durable);
// Both.
Result<CommitOutcome> CommitMetadata(Store& store, const CommitNames& names,
                                     const ByteProducer& encode, bool durable);

// After the commit: removes data files of the pattern, and `__{rank}.metadata` of a save without
// collectives with their temporary files, that `keep` does not name and that belong to `rank`, or
// to any rank >= `world_size` when `coordinator`, who removes `.metadata` and its temporary files
// too; never anything else. Returns what could not be removed, as warnings.
std::vector<std::string> RemoveStale(Store& store, const std::set<std::string>& keep, int32_t rank,
                                     int32_t world_size, bool coordinator);

// After a failed save: removes `files`; those already gone do not count. Warnings as above.
std::vector<std::string> RemoveFiles(Store& store, const std::vector<std::string>& files);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_COMMIT_H_
