// Plans by hand: what planners of a host's own add to them.
#ifndef DCP_PLANNER_EDIT_PLAN_H_
#define DCP_PLANNER_EDIT_PLAN_H_

#include <string_view>
#include <vector>

#include "planner/save_planner.h"

namespace dcp {

struct NewWriteItem {
  std::string_view name;
  WriteKind kind = WriteKind::kBytes;
  TensorProperties properties;  // of tensors, as what follows
  Dims global_size;
  Dims offsets;
  Dims sizes;
  uint32_t source = SavePlan::kNoSource;
};
// kInvalidArgument for what no plan can hold; whether it fits the tensor is the global plan's to
// say.
Status AddWriteItem(const NewWriteItem& item, SavePlan* plan);
// Where a name stands in the nested state dict; the later call counts.
void SetPlannedPath(std::string_view name, Path path, SavePlan* plan);

struct NewReadItem {
  std::string_view name;  // of an entry
  uint64_t chunk = 0;
  Dims storage_offsets;
  Dims dest_offsets;
  Dims lengths;
  uint32_t target = ReadItem::kNoTarget;
};
Status AddReadItem(const NewReadItem& item, const Metadata& metadata, LoadPlan* plan);

// Leaves what several ranks hold to one of them, as CreateGlobalSavePlan does, and fails where that
// would.
Status DedupPlans(std::vector<SavePlan>* plans, bool to_lowest_rank);

}  // namespace dcp

#endif  // DCP_PLANNER_EDIT_PLAN_H_
