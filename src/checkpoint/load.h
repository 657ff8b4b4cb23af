// Loading into what the caller has: upstream's state_dict_loader plus a report.
#ifndef DCP_CHECKPOINT_LOAD_H_
#define DCP_CHECKPOINT_LOAD_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "checkpoint/load_roles.h"
#include "comm/communicator.h"
#include "metadata/flatten.h"
#include "planner/load_planner.h"
#include "staging/engine.h"
#include "storage/store.h"

namespace dcp {

struct LoadOptions {
  bool allow_partial = false;
  bool allow_cast = true;
  bool verify = true;
  bool flatten = true;
  int32_t coordinator = 0;
  std::shared_ptr<LoadPlanner> planner;  // null: the library's
  int64_t timeout_ms = 600000;
  CancelToken cancel;
};

struct LoadResult {
  LoadReport report;
  // Values read for leaves that are not tensors, by flat name, in the state's order.
  std::vector<std::pair<FlatLeaf, ValuePtr>> objects;
  uint64_t bytes_read = 0;
};

// Fills the tensors and shards of `state` (a mapping, nested or flat) in place. When flat names are
// missing and the file was written by torch 2.3 or older, the older flatten rule is tried, as
// upstream does.
Result<LoadResult> Load(const Store& store, Communicator& comm, const Value& state,
                        const LoadOptions& options, const Engine& engine);

// The same through a storage reader of the caller's, used for this load alone.
Result<LoadResult> Load(StorageReader& reader, Communicator& comm, const ValuePtr& state,
                        const LoadOptions& options, const Engine& engine);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_LOAD_H_
