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
  bool committed = false;             // `.metadata` is there
  std::vector<std::string> files;     // all regular files
  uint64_t next_generation = 0;       // 0: plain names; else larger than any seen in a name
};
Result<FolderState> InspectFolder(const Store& store);

// "__{rank}_{n}.distcp" for generation 0, "__{rank}_{n}.g{generation}.distcp" else.
std::string DataFileName(int32_t rank, size_t n, uint64_t generation);
struct DataFile {
  int32_t rank;
  uint64_t n;
  uint64_t generation;
};
bool ParseDataFileName(std::string_view name, DataFile* out);  // exact inverse, nothing else

// Syncs the folder, writes `.metadata.tmp`, syncs it, renames it over `.metadata`, syncs the
// folder. The old `.metadata` is never removed before.
Status CommitMetadata(Store& store, std::string_view encoded, bool durable);

// After the commit: removes data files of the pattern that `keep` does not name and that belong
// to `rank`, or to any rank >= `world_size` when `coordinator`; never anything else. Returns what
// could not be removed, as warnings.
std::vector<std::string> RemoveStale(Store& store, const std::set<std::string>& keep, int32_t rank,
                                     int32_t world_size, bool coordinator);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_COMMIT_H_
