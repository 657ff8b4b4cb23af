#include "c_api/context.h"
#include "c_api/entry_info.h"
#include "c_api/plans.h"
#include "c_api/value.h"
#include "metadata/codec.h"
#include "reader/metadata_files.h"
#include "storage/store.h"

using dcp::Code;
using dcp::Error;
using dcp::Metadata;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

namespace {

dcp::Result<const dcp::Entry*> EntryAt(const dcp_metadata* metadata, size_t index) {
  DCP_RETURN_IF_ERROR(CheckHandle(metadata, "metadata"));
  const auto& entries = metadata->shown->entries;
  if (index < entries.size()) return &entries[index];
  return Error(Code::kInvalidArgument, "entry {} of metadata of {}", index, entries.size());
}

uint32_t FileNumber(dcp_metadata* metadata, const char* file) {
  const auto next = static_cast<uint32_t>(metadata->shown->files.size());
  const auto [at, fresh] = metadata->files.emplace(file, next);
  if (fresh) metadata->shown->files.emplace_back(file);
  return at->second;
}

}  // namespace

extern "C" {

dcp_status dcp_metadata_decode(const void* data, size_t size, dcp_metadata** out,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    if (data == nullptr && size > 0) return Error(Code::kInvalidArgument, "data is NULL");
    auto made = std::make_unique<dcp_metadata>();
    DCP_ASSIGN_OR_RETURN(made->own,
                         dcp::DecodeMetadata(dcp::AsBytes(data, size), dcp::kMetadataFile));
    *out = made.release();
    return Status::Ok();
  });
}

dcp_status dcp_metadata_of_plan(const dcp_save_plan* plan, dcp_metadata** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(plan, "plan"));
    std::vector<dcp::SavePlan> plans;
    plans.push_back(*plan->shown);
    auto made = std::make_unique<dcp_metadata>();
    DCP_ASSIGN_OR_RETURN(dcp::GlobalSavePlan global,
                         dcp::CreateGlobalSavePlan(std::move(plans), dcp::GlobalPlanOptions()));
    made->own = std::move(global.metadata);
    made->own_slots = std::move(global.slots);
    made->slots = &made->own_slots;
    *out = made.release();
    return Status::Ok();
  });
}

dcp_status dcp_metadata_encode(const dcp_metadata* metadata, int32_t dialect, dcp_value** out,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(metadata, "metadata"));
    if (dialect != DCP_DIALECT_DEFAULT && dialect != DCP_DIALECT_TORCH_2_1) {
      return Error(Code::kInvalidArgument, "{} is no dialect", dialect);
    }
    DCP_ASSIGN_OR_RETURN(std::string bytes,
                         dcp::EncodeMetadata(*metadata->shown, static_cast<dcp::Dialect>(dialect)));
    *out = new dcp_value(dcp::Value::BytesOf(std::move(bytes)));
    return Status::Ok();
  });
}

size_t dcp_metadata_count(const dcp_metadata* metadata) {
  return metadata == nullptr || metadata->forked() ? 0 : metadata->shown->entries.size();
}

dcp_status dcp_metadata_entry(const dcp_metadata* metadata, size_t index, dcp_entry_info* info,
                              dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(const dcp::Entry* entry, EntryAt(metadata, index));
    return dcp::c_api::ShowEntry(*entry, info);
  });
}

dcp_status dcp_metadata_chunk(const dcp_metadata* metadata, size_t index, uint64_t chunk,
                              dcp_chunk_info* info, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(const dcp::Entry* entry, EntryAt(metadata, index));
    auto* texts = &const_cast<dcp_metadata*>(metadata)->transform_texts;  // [serial]
    if (texts->size() != metadata->shown->transform_sets.size()) {
      *texts = dcp::c_api::TransformTexts(*metadata->shown);
    }
    return dcp::c_api::ShowChunk(*metadata->shown, *texts, *entry, chunk, info);
  });
}

dcp_status dcp_metadata_place(dcp_metadata* metadata, int32_t rank, size_t item, const char* file,
                              uint64_t offset, uint64_t length, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(metadata, "metadata"));
    if (metadata->slots == nullptr) {
      return Status(Code::kInvalidArgument,
                    "items are placed in a storage writer's finish, or in metadata of a plan");
    }
    if (file == nullptr) return Error(Code::kInvalidArgument, "file is NULL");
    DCP_RETURN_IF_ERROR(dcp::CheckRelativePath(file));
    const int64_t at = int64_t{rank} - metadata->first_rank;
    if (at < 0 || at >= static_cast<int64_t>(metadata->slots->size()) ||
        item >= (*metadata->slots)[static_cast<size_t>(at)].size()) {
      return Error(Code::kInvalidArgument, "there is no item {} of rank {}", item, rank);
    }
    const dcp::GlobalSavePlan::Slot& slot = (*metadata->slots)[static_cast<size_t>(at)][item];
    dcp::Location& location = metadata->shown->entries[slot.entry].locations[slot.chunk];
    location = dcp::Location();
    location.file = FileNumber(metadata, file);
    location.offset = offset;
    location.length = length;
    return Status::Ok();
  });
}

void dcp_metadata_free(dcp_metadata* metadata) {
  if (metadata != nullptr && metadata->shown == &metadata->own) dcp::c_api::Free(metadata);
}

}  // extern "C"
