#include "planner/edit_plan.h"
#include "planner/plan_merge.h"
#include "planner/save_planner.h"

namespace dcp {

namespace {

Result<MergedPlan> MergePlans(const std::vector<SavePlan>& plans,
                              const GlobalPlanOptions& options) {
  PlanMerge merge;
  uint32_t table = 0;
  const SavePlan* last = nullptr;
  for (const SavePlan& plan : plans) {
    // Ranks tend to have the same names.
    if (last == nullptr || last->names != plan.names || last->planner_data != plan.planner_data) {
      table = merge.AddTable(plan.names, plan.planner_data);
    }
    last = &plan;
    DCP_RETURN_IF_ERROR(merge.Add(table, plan.flattened, plan.properties, plan.dims, plan.items));
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
  DCP_ASSIGN_OR_RETURN(const MergedPlan merged, MergePlans(*plans, options));
  for (size_t rank = 0; rank < plans->size(); ++rank) Keep(merged.items[rank], &(*plans)[rank]);
  return Status::Ok();
}

Result<GlobalSavePlan> CreateGlobalSavePlan(std::vector<SavePlan> plans,
                                            const GlobalPlanOptions& options) {
  DCP_ASSIGN_OR_RETURN(MergedPlan merged, MergePlans(plans, options));
  GlobalSavePlan out;
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    plans[rank].planner_data = {};
    Keep(merged.items[rank], &plans[rank]);
  }
  out.ranks = std::move(plans);
  out.metadata = std::move(merged.metadata);
  out.slots = std::move(merged.slots);
  return out;
}

}  // namespace dcp
