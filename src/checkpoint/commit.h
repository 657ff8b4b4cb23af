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
// Syncs the folder, writes `.metadata.tmp`, syncs it, renames it over `.metadata`, syncs the
// folder (syncs only when `durable`). The old `.metadata` is never removed before. An error means
// that the old one stands and the temporary file is gone, except kOutcomeUnknown: the rename or
// what follows failed and reading `.metadata` back did not decide. `encode` gives the file's bytes,
// once to write them and once for each reading back.
Result<CommitOutcome> CommitMetadata(Store& store, const ByteProducer& encode, bool durable);

// After the commit of `.metadata`: removes data files of the pattern that `keep` does not name,
// and `__{rank}.metadata` of a save without collectives, that belong to `rank`, or to any rank >=
// `world_size` when `coordinator`, who removes `.metadata.tmp` too; never anything else. Returns
// what could not be removed, as warnings.
std::vector<std::string> RemoveStale(Store& store, const std::set<std::string>& keep, int32_t rank,
                                     int32_t world_size, bool coordinator);

// After a failed save: removes `files`; those already gone do not count. Warnings as above.
std::vector<std::string> RemoveFiles(Store& store, const std::vector<std::string>& files);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_COMMIT_H_
