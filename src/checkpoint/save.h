// Saving: plan, write, commit, over a communicator; upstream's state_dict_saver with its promises
// kept by a stricter commit (docs/architecture.md, "Commit").
#ifndef DCP_CHECKPOINT_SAVE_H_
#define DCP_CHECKPOINT_SAVE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/deadline.h"
#include "checkpoint/save_roles.h"
#include "comm/communicator.h"
#include "metadata/codec.h"
#include "metadata/flatten.h"
#include "staging/engine.h"
#include "storage/store.h"
#include "value/value.h"

namespace dcp {

class PlanCache;  // plan_cache.h

struct SaveOptions {
  bool overwrite = true;  // false: kAlreadyExists "Checkpoint already exists" when one is there
  bool flatten = true;    // nested state dicts become flat names (false: top level only)
  bool durable = true;    // survives a power cut on return
  bool direct = true;
  bool block_checksums = true;
  int32_t files = 1;  // data files a rank
  bool file_per_item = false;
  Dialect dialect = Dialect::kDefault;
  std::vector<std::string> transforms;  // "stream.zstd" or "stream.zstd/1", from the registry
  bool dedup_to_lowest_rank = false;
  // False: plans and results stay where they are, and each rank commits what it has, as
  // `__{rank}.metadata`; nothing is deduplicated. Upstream's use_collectives.
  bool use_collectives = true;
  int32_t coordinator = 0;
  std::shared_ptr<SavePlanner> planner;  // null: the library's
  std::string checkpoint_id;             // recorded in the metadata; empty: the store's location
  int64_t timeout_ms = 600000;           // of silence from other ranks
  CancelToken cancel;
  // One a rank and family of checkpoints, on all ranks or on none: what is as in the last save does
  // not travel, nor is it planned, again. Upstream's enable_plan_caching. kUnsupported with a
  // planner or storage writer of the host's, without collectives, and without SHA-256.
  std::shared_ptr<PlanCache> plan_cache;
};

struct SaveResult {
  std::string save_id;         // uuid4 text, new for every save
  uint64_t bytes_written = 0;  // by this rank
  uint64_t items_written = 0;
  uint32_t files_written = 0;
  // By a plan cache: this rank's plan and what it was to write are those of the last save, and did
  // not travel. On the coordinator: every rank's, and nothing was planned anew.
  bool plan_reused = false;
  std::vector<std::string> warnings;  // stale files that could not be removed, ...
};

// `state` is a mapping (nested or flat); tensors are borrowed until return. Every rank of `comm`
// calls it. At every instant a reader finds the old checkpoint or the new one. On error the old
// one stays and this save's files are gone (kOutcomeUnknown excepted, see its message).
Result<SaveResult> Save(Store& store, Communicator& comm, const Value& state,
                        const SaveOptions& options, const Engine& engine);

// The same through a storage writer of the caller's, used for this save alone.
Result<SaveResult> Save(StorageWriter& writer, Communicator& comm, Result<ValuePtr> state,
                        const SaveOptions& options, const Engine& engine);

// The same; what `state` holds besides leaves goes as soon as they are found. A state that could
// not be had is this rank's failure to plan.
Result<SaveResult> Save(Store& store, Communicator& comm, Result<ValuePtr> state,
                        const SaveOptions& options, const Engine& engine);

// The same for leaves that are flat already. `with_paths`: their paths are recorded (planner data).
Result<SaveResult> SaveLeaves(Store& store, Communicator& comm, std::vector<FlatLeaf> leaves,
                              bool with_paths, const SaveOptions& options, const Engine& engine);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_SAVE_H_
