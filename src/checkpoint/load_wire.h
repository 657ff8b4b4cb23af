// Load plans as bytes, for planners and readers that look at all ranks' plans.
#ifndef DCP_CHECKPOINT_LOAD_WIRE_H_
#define DCP_CHECKPOINT_LOAD_WIRE_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "planner/plan.h"

namespace dcp {

std::string EncodeLoadPlan(const LoadPlan& plan);
// kCorrupt for what is no plan. Whether its items are in the metadata is CheckLoadPlan's.
Result<LoadPlan> DecodeLoadPlan(std::string_view bytes);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_LOAD_WIRE_H_
