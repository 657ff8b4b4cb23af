// Upstream's DefaultSavePlanner as pure functions.
#ifndef DCP_PLANNER_SAVE_PLANNER_H_
#define DCP_PLANNER_SAVE_PLANNER_H_

#include <vector>

#include "metadata/flatten.h"
#include "planner/plan.h"

namespace dcp {

// The items of one rank for its flat leaves: tensors (kTensor, the whole as one chunk), local
// shards (kShard each; none when the rank holds none), everything else kBytes. WriteItem::source
// counts the items of this plan: item i has source i; LocalSources tells leaf and shard again. The
// leaves' paths go into the plan, or nowhere when it is not `flattened`.
SavePlan CreateLocalSavePlan(std::vector<FlatLeaf>& leaves, bool flattened);
struct Source {
  uint32_t leaf;
  uint32_t shard;  // of a ShardedTensor, else 0
};
std::vector<Source> LocalSources(const std::vector<FlatLeaf>& leaves);

struct GlobalPlanOptions {
  bool dedup = true;                  // one rank writes what several hold
  bool dedup_to_lowest_rank = false;  // else upstream's balance: least loaded (see set_order.h)
};

struct GlobalSavePlan {
  std::vector<SavePlan> ranks;  // what each rank is to write
  Metadata metadata;            // entries and chunks; every location still missing
  // For ranks[r].items[i]: entry and chunk in metadata it fills.
  struct Slot {
    uint32_t entry;
    uint32_t chunk;
  };
  std::vector<std::vector<Slot>> slots;
};

// Dedup, merge, validate. The same choices as upstream's dedup_save_plans and
// create_default_global_save_plan. kInvalidArgument for names whose kinds or sizes disagree
// between ranks and for what ValidateEntries finds ("Failed to validate global plan: ...").
Result<GlobalSavePlan> CreateGlobalSavePlan(std::vector<SavePlan> plans,
                                            const GlobalPlanOptions& options);

// Upstream's _validate_global_plan: chunks in bounds, no overlap, and (several ranks) volumes that
// fill the tensor. An empty chunk overlaps one that it lies inside of, as upstream has it. One
// message a problem. Near-linear in the number of chunks.
std::vector<std::string> ValidateEntries(const Metadata& metadata, bool check_volume);
// kInvalidArgument "Failed to validate global plan: ..." with the first of these messages.
Status CheckEntries(const Metadata& metadata, bool check_volume);

}  // namespace dcp

#endif  // DCP_PLANNER_SAVE_PLANNER_H_
