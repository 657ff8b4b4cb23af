#include <string_view>

#include "c_api/plans.h"
#include "c_api/value.h"
#include "metadata/path.h"
#include "planner/edit_plan.h"

using dcp::Code;
using dcp::Dims;
using dcp::Error;
using dcp::SavePlan;
using dcp::Status;
using dcp::WriteItem;
using dcp::WriteKind;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

static_assert(static_cast<int32_t>(WriteKind::kTensor) == DCP_WRITE_TENSOR);
static_assert(static_cast<int32_t>(WriteKind::kShard) == DCP_WRITE_SHARD);
static_assert(static_cast<int32_t>(WriteKind::kBytes) == DCP_WRITE_BYTES);

namespace dcp::c_api {

Status ShowItem(const SavePlan& plan, size_t index, dcp_write_item* item) {
  if (item == nullptr || item->struct_size != sizeof *item) {
    return Error(Code::kInvalidArgument, "item is NULL, or its struct_size is not {}",
                 sizeof *item);
  }
  if (index >= plan.items.size()) {
    return Error(Code::kInvalidArgument, "item {} of a plan of {}", index, plan.items.size());
  }
  const WriteItem& shown = plan.items[index];
  const uint32_t struct_size = item->struct_size;
  *item = {};
  item->struct_size = struct_size;
  item->kind = static_cast<int32_t>(shown.kind);
  item->name = plan.names[shown.name].c_str();
  item->name_size = plan.names[shown.name].size();
  item->source = shown.source == SavePlan::kNoSource ? -1 : int64_t{shown.source};
  if (shown.kind == WriteKind::kBytes) return Status::Ok();
  const TensorProperties& properties = plan.properties[shown.properties];
  item->dtype = static_cast<int32_t>(properties.dtype);
  item->requires_grad = properties.requires_grad ? 1 : 0;
  item->ndim = shown.ndim;
  item->global_sizes = plan.global_size(shown).data();
  item->offsets = plan.box(shown).offsets.data();
  item->sizes = plan.box(shown).sizes.data();
  return Status::Ok();
}

}  // namespace dcp::c_api

namespace {

dcp::Result<Dims> DimsOf(const int64_t* numbers, int32_t ndim, const char* what) {
  if (ndim < 0 || ndim > dcp::kMaxDims) {
    return Error(Code::kInvalidArgument, "ndim is {}: 0 to {} is allowed", ndim, dcp::kMaxDims);
  }
  if (numbers == nullptr && ndim > 0) return Error(Code::kInvalidArgument, "{} is NULL", what);
  return Dims(numbers, static_cast<size_t>(ndim));
}

dcp::Result<dcp::NewWriteItem> ItemOf(const dcp_write_item* item) {
  if (item == nullptr || item->struct_size != sizeof *item) {
    return Error(Code::kInvalidArgument, "item is NULL, or its struct_size is not {}",
                 sizeof *item);
  }
  if (item->name == nullptr && item->name_size > 0) {
    return Status(Code::kInvalidArgument, "the item's name is NULL");
  }
  if (item->source < -1 || item->source >= int64_t{SavePlan::kNoSource}) {
    return Error(Code::kInvalidArgument, "{} is no source of an item", item->source);
  }
  dcp::NewWriteItem added;
  added.name = std::string_view(item->name == nullptr ? "" : item->name, item->name_size);
  added.kind = static_cast<WriteKind>(item->kind);
  added.source = item->source < 0 ? SavePlan::kNoSource : static_cast<uint32_t>(item->source);
  if (added.kind == WriteKind::kTensor || added.kind == WriteKind::kShard) {
    if (!dcp::IsValidDType(item->dtype)) {
      return Error(Code::kInvalidArgument, "{} is no dtype", item->dtype);
    }
    added.properties.dtype = static_cast<dcp::DType>(item->dtype);
    added.properties.requires_grad = item->requires_grad != 0;
    DCP_ASSIGN_OR_RETURN(added.global_size, DimsOf(item->global_sizes, item->ndim, "global_sizes"));
    DCP_ASSIGN_OR_RETURN(added.offsets, DimsOf(item->offsets, item->ndim, "offsets"));
    DCP_ASSIGN_OR_RETURN(added.sizes, DimsOf(item->sizes, item->ndim, "sizes"));
  }
  return added;
}

}  // namespace

extern "C" {

dcp_status dcp_save_plan_new(dcp_save_plan** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = new dcp_save_plan();
    return Status::Ok();
  });
}

void dcp_save_plan_free(dcp_save_plan* plan) {
  if (plan != nullptr && plan->shown == &plan->own) dcp::c_api::Free(plan);
}

dcp_status dcp_save_plan_standard(dcp_save_plan* plan, dcp_error** error) {
  return Guard(error, [&] { return dcp::c_api::MakeStandard(plan); });
}

size_t dcp_save_plan_count(const dcp_save_plan* plan) { return dcp::c_api::CountItems(plan); }

dcp_status dcp_save_plan_item(const dcp_save_plan* plan, size_t index, dcp_write_item* item,
                              dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    return dcp::c_api::ShowItem(*plan->shown, index, item);
  });
}

dcp_status dcp_save_plan_add(dcp_save_plan* plan, const dcp_write_item* item, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    DCP_ASSIGN_OR_RETURN(const dcp::NewWriteItem added, ItemOf(item));
    return dcp::AddWriteItem(added, plan->shown);
  });
}

dcp_status dcp_save_plan_remove(dcp_save_plan* plan, size_t index, dcp_error** error) {
  return Guard(error, [&] { return dcp::c_api::RemoveItem(plan, index); });
}

dcp_status dcp_save_plan_set_path(dcp_save_plan* plan, const char* name, size_t name_size,
                                  const dcp_value* path, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    DCP_RETURN_IF_ERROR(CheckHandle(path, "path"));
    if (name == nullptr && name_size > 0) return Error(Code::kInvalidArgument, "name is NULL");
    DCP_ASSIGN_OR_RETURN(dcp::Path elements, dcp::PathFromValue(*path->value));
    dcp::SetPlannedPath({name == nullptr ? "" : name, name_size}, std::move(elements), plan->shown);
    return Status::Ok();
  });
}

dcp_status dcp_save_plan_found(const dcp_save_plan* plan, size_t item, dcp_value** out,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    if (plan->resolved != item) {
      return Error(Code::kInvalidArgument,
                   "what is found for item {} is told where it is resolved, and nowhere else",
                   item);
    }
    if (plan->found != nullptr) *out = new dcp_value(plan->found);
    return Status::Ok();
  });
}

const void* dcp_save_plan_data(const dcp_save_plan* plan, size_t* size) {
  return dcp::c_api::StorageData(plan, size);
}

dcp_status dcp_save_plan_set_data(dcp_save_plan* plan, const void* data, size_t size,
                                  dcp_error** error) {
  return Guard(error, [&] { return dcp::c_api::SetStorageData(plan, data, size); });
}

size_t dcp_save_plans_count(const dcp_save_plans* plans) {
  return plans == nullptr || plans->forked() ? 0 : plans->plans.size();
}

dcp_save_plan* dcp_save_plans_at(dcp_save_plans* plans, size_t rank) {
  return rank < dcp_save_plans_count(plans) ? &plans->plans[rank] : nullptr;
}

dcp_status dcp_save_plans_dedup(dcp_save_plans* plans, int32_t to_lowest_rank, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(plans, "plans"));
    return dcp::DedupPlans(plans->shown, to_lowest_rank != 0);
  });
}

}  // extern "C"
