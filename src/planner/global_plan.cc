#include <utility>

#include "planner/edit_plan.h"
#include "planner/plan_merge.h"
#include "planner/save_planner.h"

namespace dcp {

namespace {

// `take_paths`: the plans' paths go into the merged plan and are gone from them.
Result<MergedPlan> MergePlans(std::vector<SavePlan>* plans, bool take_paths,
                              const GlobalPlanOptions& options) {
  PlanMerge merge;
  for (size_t from = 0; from < plans->size();) {
    SavePlan& first = (*plans)[from];
    // Ranks tend to have the same names.
    size_t to = from + 1;
    while (to < plans->size() && (*plans)[to].names == first.names &&
           (*plans)[to].planner_data == first.planner_data) {
      ++to;
    }
    const uint32_t table = merge.AddTable(
        first.names, take_paths ? std::exchange(first.planner_data, {}) : first.planner_data);
    for (; from < to; ++from) {
      SavePlan& plan = (*plans)[from];
      DCP_RETURN_IF_ERROR(merge.Add(table, plan.flattened, plan.properties, plan.dims, plan.items));
      if (take_paths) plan.planner_data = {};
    }
  }
  return merge.Finish(options);
}

// `items` ascend.
void Keep(const std::vector<uint32_t>& items, SavePlan* plan) {
  size_t kept = 0;
  for (uint32_t item : items) plan->items[kept++] = plan->items[item];
  plan->items.resize(kept);
}

}  // namespace

Status DedupPlans(std::vector<SavePlan>* plans, bool to_lowest_rank) {
  GlobalPlanOptions options;
  options.dedup_to_lowest_rank = to_lowest_rank;
  DCP_ASSIGN_OR_RETURN(const MergedPlan merged, MergePlans(plans, false, options));
  for (size_t rank = 0; rank < plans->size(); ++rank) Keep(merged.items[rank], &(*plans)[rank]);
  return Status::Ok();
}

Result<GlobalSavePlan> CreateGlobalSavePlan(std::vector<SavePlan> plans,
                                            const GlobalPlanOptions& options) {
  DCP_ASSIGN_OR_RETURN(MergedPlan merged, MergePlans(&plans, true, options));
  GlobalSavePlan out;
  for (size_t rank = 0; rank < plans.size(); ++rank) Keep(merged.items[rank], &plans[rank]);
  out.ranks = std::move(plans);
  out.metadata = std::move(merged.metadata);
  out.slots = std::move(merged.slots);
  return out;
}

}  // namespace dcp
