// Save plans as bytes: what a rank tells the coordinator that it holds. Version 1: names and paths
// as one section, which the coordinator decodes once for all ranks that send the same; items as
// differences from the item before, boxes as the dimensions in which they are less than the whole.
#ifndef DCP_CHECKPOINT_PLAN_WIRE_H_
#define DCP_CHECKPOINT_PLAN_WIRE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "planner/plan_merge.h"

namespace dcp {

// Rank to coordinator: what the rank holds. Sources do not travel: those of the decoded plan are
// the items' positions.
std::string EncodePlan(const SavePlan& plan);
// With another storage_data.
std::string EncodePlan(const SavePlan& plan, std::string_view storage_data);
// Dims come back in an order of their own. kCorrupt for what no EncodePlan wrote.
Result<SavePlan> DecodePlan(std::string_view bytes);

// The coordinator's side: plans as they come, rank 0 first, folded into one.
class PlanReceiver {
 public:
  // The next rank's message, which is not needed afterwards. Gives its storage_data. Errors are
  // DecodePlan's and PlanMerge's; the receiver is then of no further use.
  Result<std::string> Add(std::string_view bytes);
  // The next rank's plan as it is: the coordinator's own does not travel.
  Status Add(const SavePlan& plan);
  Result<MergedPlan> Finish(const GlobalPlanOptions& options) { return merge_.Finish(options); }

 private:
  struct Section {
    std::string bytes;
    uint32_t table;
    uint32_t names;  // how many
    bool flattened;
  };
  Result<const Section*> Find(std::string_view section);

  PlanMerge merge_;
  std::vector<Section> sections_;
  IdTable by_bytes_;   // numbers in sections_
  uint32_t last_ = 0;  // section of the rank before
  SavePlan scratch_;   // items, dims and properties of the message that is decoded
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_PLAN_WIRE_H_
