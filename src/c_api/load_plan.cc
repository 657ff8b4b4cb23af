#include "c_api/plans.h"
#include "planner/edit_plan.h"

using dcp::Code;
using dcp::Dims;
using dcp::Error;
using dcp::ReadItem;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::Guard;

static_assert(static_cast<int32_t>(dcp::EntryKind::kTensor) == DCP_ENTRY_TENSOR);
static_assert(static_cast<int32_t>(dcp::EntryKind::kBytes) == DCP_ENTRY_OBJECT);

namespace {

Status CheckItem(const dcp_read_item* item) {
  if (item != nullptr && item->struct_size == sizeof *item) return Status::Ok();
  return Error(Code::kInvalidArgument, "item is NULL, or its struct_size is not {}", sizeof *item);
}

Dims DimsOf(const int64_t* numbers, int32_t ndim) {
  return numbers == nullptr || ndim < 0 ? Dims() : Dims(numbers, static_cast<size_t>(ndim));
}

}  // namespace

extern "C" {

dcp_status dcp_load_plan_standard(dcp_load_plan* plan, dcp_error** error) {
  return Guard(error, [&] { return dcp::c_api::MakeStandard(plan); });
}

size_t dcp_load_plan_count(const dcp_load_plan* plan) { return dcp::c_api::CountItems(plan); }

dcp_status dcp_load_plan_item(const dcp_load_plan* plan, size_t index, dcp_read_item* item,
                              dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    DCP_RETURN_IF_ERROR(CheckItem(item));
    if (index >= plan->shown->items.size()) {
      return Error(Code::kInvalidArgument, "item {} of a plan of {}", index,
                   plan->shown->items.size());
    }
    const ReadItem& shown = plan->shown->items[index];
    const dcp::Entry& entry = plan->metadata->entries[shown.entry];
    item->kind = static_cast<int32_t>(shown.kind);
    item->name = entry.name.c_str();
    item->name_size = entry.name.size();
    item->chunk = shown.chunk;
    item->ndim = shown.ndim;
    item->reserved = 0;
    item->storage_offsets = plan->shown->storage_offsets(shown).data();
    item->dest_offsets = plan->shown->dest_offsets(shown).data();
    item->lengths = plan->shown->lengths(shown).data();
    item->target = shown.target == ReadItem::kNoTarget ? -1 : int64_t{shown.target};
    return Status::Ok();
  });
}

dcp_status dcp_load_plan_add(dcp_load_plan* plan, const dcp_read_item* item, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    DCP_RETURN_IF_ERROR(CheckItem(item));
    if (item->name == nullptr && item->name_size > 0) {
      return Status(Code::kInvalidArgument, "the item's name is NULL");
    }
    if (item->target < -1 || item->target >= int64_t{ReadItem::kNoTarget}) {
      return Error(Code::kInvalidArgument, "{} is no target of an item", item->target);
    }
    dcp::NewReadItem added;
    added.name = {item->name == nullptr ? "" : item->name, item->name_size};
    added.chunk = item->chunk;
    added.storage_offsets = DimsOf(item->storage_offsets, item->ndim);
    added.dest_offsets = DimsOf(item->dest_offsets, item->ndim);
    added.lengths = DimsOf(item->lengths, item->ndim);
    if (item->target >= 0) added.target = static_cast<uint32_t>(item->target);
    return dcp::AddReadItem(added, *plan->metadata, plan->shown);
  });
}

dcp_status dcp_load_plan_remove(dcp_load_plan* plan, size_t index, dcp_error** error) {
  return Guard(error, [&] { return dcp::c_api::RemoveItem(plan, index); });
}

const void* dcp_load_plan_data(const dcp_load_plan* plan, size_t* size) {
  return dcp::c_api::StorageData(plan, size);
}

dcp_status dcp_load_plan_set_data(dcp_load_plan* plan, const void* data, size_t size,
                                  dcp_error** error) {
  return Guard(error, [&] { return dcp::c_api::SetStorageData(plan, data, size); });
}

size_t dcp_load_plans_count(const dcp_load_plans* plans) {
  return plans == nullptr || plans->forked() ? 0 : plans->plans.size();
}

dcp_load_plan* dcp_load_plans_at(dcp_load_plans* plans, size_t rank) {
  return rank < dcp_load_plans_count(plans) ? &plans->plans[rank] : nullptr;
}

}  // extern "C"
