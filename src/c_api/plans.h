// Plans and metadata as callbacks see them.
#ifndef DCP_C_API_PLANS_H_
#define DCP_C_API_PLANS_H_

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "c_api/handle.h"
#include "planner/load_planner.h"
#include "planner/save_planner.h"

// Handles that callbacks get live for the call, on the stack: those with a `shown` of their own
// show what belongs to the save or load.
struct dcp_save_plan : dcp::c_api::Handle {
  dcp_save_plan() : shown(&own) {}
  explicit dcp_save_plan(dcp::SavePlan* of) : shown(of) {}
  // To be read only.
  explicit dcp_save_plan(const dcp::SavePlan* of) : shown(const_cast<dcp::SavePlan*>(of)) {}

  dcp::SavePlan own;
  dcp::SavePlan* shown;
  std::function<dcp::Result<dcp::SavePlan>()> standard;  // in create_local_plan
  std::optional<size_t> resolved;                        // in resolve_data: the item asked for
  dcp::ValuePtr found;                                   // of that item; may be null
};

struct dcp_save_plans : dcp::c_api::Handle {
  explicit dcp_save_plans(std::vector<dcp::SavePlan>* of) : shown(of) {
    for (dcp::SavePlan& plan : *of) plans.emplace_back(&plan);
  }
  std::vector<dcp::SavePlan>* shown;
  std::deque<dcp_save_plan> plans;
};

struct dcp_load_plan : dcp::c_api::Handle {
  dcp_load_plan(dcp::LoadPlan* of, const dcp::Metadata* in) : shown(of), metadata(in) {}
  // To be read only.
  dcp_load_plan(const dcp::LoadPlan* of, const dcp::Metadata* in)
      : dcp_load_plan(const_cast<dcp::LoadPlan*>(of), in) {}

  dcp::LoadPlan* shown;
  const dcp::Metadata* metadata;
  std::function<dcp::Result<dcp::LoadPlan>()> standard;  // in create_local_plan
};

struct dcp_load_plans : dcp::c_api::Handle {
  dcp_load_plans(std::vector<dcp::LoadPlan>* of, const dcp::Metadata* metadata) {
    for (dcp::LoadPlan& plan : *of) plans.emplace_back(&plan, metadata);
  }
  std::deque<dcp_load_plan> plans;
};

struct dcp_metadata : dcp::c_api::Handle {
  dcp_metadata() : shown(&own) {}
  explicit dcp_metadata(dcp::Metadata* of) : shown(of) {}
  // To be read only.
  explicit dcp_metadata(const dcp::Metadata* of) : shown(const_cast<dcp::Metadata*>(of)) {}

  dcp::Metadata own;
  dcp::Metadata* shown;
  std::vector<std::vector<dcp::GlobalSavePlan::Slot>> own_slots;
  // What the items of each rank's plan fill, from rank `first_rank` on: in a storage writer's
  // finish, and of metadata made of a plan.
  const std::vector<std::vector<dcp::GlobalSavePlan::Slot>>* slots = nullptr;
  int32_t first_rank = 0;
  std::unordered_map<std::string, uint32_t> files;
  std::vector<std::string> transform_texts;  // made by dcp_metadata_chunk
};

namespace dcp::c_api {

// Calls on plans of either kind.
template <typename Plan>
size_t CountItems(const Plan* plan) {
  return plan == nullptr || plan->forked() ? 0 : plan->shown->items.size();
}
template <typename Plan>
Status RemoveItem(Plan* plan, size_t index) {
  DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
  auto& items = plan->shown->items;
  if (index >= items.size()) {
    return Error(Code::kInvalidArgument, "item {} of a plan of {}", index, items.size());
  }
  items.erase(items.begin() + static_cast<ptrdiff_t>(index));
  return Status::Ok();
}
template <typename Plan>
Status MakeStandard(Plan* plan) {
  DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
  if (!plan->standard) {
    return Status(Code::kInvalidArgument, "there is no standard plan outside create_local_plan");
  }
  DCP_ASSIGN_OR_RETURN(*plan->shown, plan->standard());
  return Status::Ok();
}
// What a storage writer or reader has to say of it.
template <typename Plan>
const void* StorageData(const Plan* plan, size_t* size) {
  const bool there = plan != nullptr && !plan->forked();
  if (size != nullptr) *size = there ? plan->shown->storage_data.size() : 0;
  return there ? plan->shown->storage_data.data() : nullptr;
}
template <typename Plan>
Status SetStorageData(Plan* plan, const void* data, size_t size) {
  DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
  if (data == nullptr && size > 0) return Error(Code::kInvalidArgument, "data is NULL");
  plan->shown->storage_data.assign(data == nullptr ? "" : static_cast<const char*>(data), size);
  return Status::Ok();
}

// Fills the caller's struct; its pointers are the plan's.
Status ShowItem(const SavePlan& plan, size_t index, dcp_write_item* item);

}  // namespace dcp::c_api

#endif  // DCP_C_API_PLANS_H_
