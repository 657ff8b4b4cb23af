#include "planner/plan_merge.h"
#include "planner/save_planner.h"

namespace dcp {

Result<GlobalSavePlan> CreateGlobalSavePlan(std::vector<SavePlan> plans,
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
  DCP_ASSIGN_OR_RETURN(MergedPlan merged, merge.Finish(options));
  GlobalSavePlan out;
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    SavePlan& plan = plans[rank];
    plan.planner_data = {};
    size_t kept = 0;
    for (uint32_t item : merged.items[rank]) plan.items[kept++] = plan.items[item];
    plan.items.resize(kept);
  }
  out.ranks = std::move(plans);
  out.metadata = std::move(merged.metadata);
  out.slots = std::move(merged.slots);
  return out;
}

}  // namespace dcp
