#include "c_api/checkpoint.h"

#include "c_api/context.h"
#include "c_api/entry_info.h"
#include "c_api/storage.h"
#include "c_api/tensor.h"
#include "c_api/value.h"
#include "metadata/path.h"
#include "value/names.h"

using dcp::Code;
using dcp::Entry;
using dcp::EntryKind;
using dcp::Error;
using dcp::Metadata;
using dcp::Status;
using dcp::Value;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::EntryAt;
using dcp::c_api::Guard;

const dcp::Path* dcp_checkpoint::FindPath(std::string_view name) const {
  std::call_once(indexed_, [this] {
    const auto& planner_data = checkpoint->metadata().planner_data;
    if (!planner_data) return;
    paths_.reserve(planner_data->size());
    for (const auto& [flat, path] : *planner_data) paths_.emplace(flat, &path);
  });
  auto found = paths_.find(name);
  return found == paths_.end() ? nullptr : found->second;
}

namespace dcp::c_api {

Result<const Entry*> EntryAt(const dcp_checkpoint* checkpoint, size_t index) {
  DCP_RETURN_IF_ERROR(CheckHandle(checkpoint, "checkpoint"));
  const auto& entries = checkpoint->checkpoint->metadata().entries;
  if (index >= entries.size()) {
    return Error(Code::kInvalidArgument, "entry {} of a checkpoint of {}", index, entries.size());
  }
  return &entries[index];
}

}  // namespace dcp::c_api

namespace {

Status CheckTensor(const Entry& entry) {
  if (entry.kind == EntryKind::kTensor) return Status::Ok();
  return Error(Code::kMismatch, "'{}' is an object, not a tensor", dcp::PrintableName(entry.name))
      .WithDetail("tensor", entry.name);
}

}  // namespace

extern "C" {

void dcp_open_options_init(dcp_open_options* options, size_t struct_size) {
  dcp::c_api::InitOptions(options, struct_size, {0, 1, nullptr});
}

dcp_status dcp_checkpoint_open(dcp_context* context, dcp_storage* storage,
                               const dcp_open_options* options, dcp_checkpoint** out,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
    dcp_open_options o;
    DCP_RETURN_IF_ERROR(
        dcp::c_api::CopyOptions(options, dcp_open_options_init, &o, "dcp_open_options"));
    dcp::OpenOptions open;
    open.verify = o.verify != 0;
    DCP_ASSIGN_OR_RETURN(open.cancel, dcp::c_api::TokenOf(o.cancel));
    auto made = std::make_unique<dcp_checkpoint>();
    DCP_ASSIGN_OR_RETURN(made->engine, dcp::c_api::EngineOf(context));
    DCP_ASSIGN_OR_RETURN(made->checkpoint,
                         dcp::Checkpoint::Open(storage->store, open, made->engine));
    made->transform_texts = dcp::c_api::TransformTexts(made->checkpoint->metadata());
    *out = made.release();
    return Status::Ok();
  });
}

void dcp_checkpoint_free(dcp_checkpoint* checkpoint) { dcp::c_api::Free(checkpoint); }

size_t dcp_checkpoint_count(const dcp_checkpoint* checkpoint) {
  if (checkpoint == nullptr || checkpoint->forked()) return 0;
  return checkpoint->checkpoint->metadata().entries.size();
}

dcp_status dcp_checkpoint_find(const dcp_checkpoint* checkpoint, const char* name, size_t name_size,
                               size_t* index, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(checkpoint, "checkpoint"));
    DCP_RETURN_IF_ERROR(CheckOut(index, "index"));
    if (name == nullptr && name_size > 0) return Error(Code::kInvalidArgument, "name is NULL");
    std::string_view text(name == nullptr ? "" : name, name_size);
    DCP_ASSIGN_OR_RETURN(const Entry* entry, checkpoint->checkpoint->FindEntry(text));
    *index = static_cast<size_t>(entry - checkpoint->checkpoint->metadata().entries.data());
    return Status::Ok();
  });
}

dcp_status dcp_checkpoint_entry(const dcp_checkpoint* checkpoint, size_t index,
                                dcp_entry_info* info, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    return dcp::c_api::ShowEntry(*entry, info);
  });
}

dcp_status dcp_checkpoint_chunk(const dcp_checkpoint* checkpoint, size_t index, uint64_t chunk,
                                dcp_chunk_info* info, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    return dcp::c_api::ShowChunk(checkpoint->checkpoint->metadata(), checkpoint->transform_texts,
                                 *entry, chunk, info);
  });
}

dcp_status dcp_checkpoint_path(const dcp_checkpoint* checkpoint, size_t index, dcp_value** out,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    const dcp::Path* path = checkpoint->FindPath(entry->name);
    *out = new dcp_value(path != nullptr ? dcp::PathToValue(*path)
                                         : dcp::PathToValue(dcp::Path{entry->name}));
    return Status::Ok();
  });
}

const char* dcp_checkpoint_property(const dcp_checkpoint* checkpoint, int32_t property) {
  if (checkpoint == nullptr || checkpoint->forked()) return nullptr;
  const Metadata& metadata = checkpoint->checkpoint->metadata();
  auto text = [](const std::optional<std::string>& value) {
    return value ? value->c_str() : nullptr;
  };
  switch (property) {
    case DCP_PROPERTY_CHECKPOINT_ID:
      return metadata.storage_meta ? text(metadata.storage_meta->checkpoint_id) : nullptr;
    case DCP_PROPERTY_SAVE_ID:
      return metadata.storage_meta ? text(metadata.storage_meta->save_id) : nullptr;
    case DCP_PROPERTY_VERSION:
      return text(metadata.version);
    case DCP_PROPERTY_CHECKSUMMED:
      return metadata.checksummed ? "1" : nullptr;
    default:
      return nullptr;
  }
}

size_t dcp_checkpoint_note_count(const dcp_checkpoint* checkpoint) {
  if (checkpoint == nullptr || checkpoint->forked()) return 0;
  return checkpoint->checkpoint->metadata().notes.size();
}

const char* dcp_checkpoint_note(const dcp_checkpoint* checkpoint, size_t index) {
  if (index >= dcp_checkpoint_note_count(checkpoint)) return nullptr;
  return checkpoint->checkpoint->metadata().notes[index].c_str();
}

dcp_status dcp_checkpoint_tensor(dcp_checkpoint* checkpoint, size_t index, dcp_tensor** out,
                                 dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    DCP_RETURN_IF_ERROR(CheckTensor(*entry));
    DCP_ASSIGN_OR_RETURN(dcp::Tensor tensor, checkpoint->checkpoint->ReadTensor(*entry));
    *out = new dcp_tensor(std::move(tensor));
    return Status::Ok();
  });
}

dcp_status dcp_checkpoint_read(dcp_checkpoint* checkpoint, size_t index, const int64_t* offsets,
                               const int64_t* steps, const dcp_tensor_view* dest,
                               uint64_t* unverified_bytes, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (unverified_bytes != nullptr) *unverified_bytes = 0;
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    DCP_RETURN_IF_ERROR(CheckTensor(*entry));
    DCP_ASSIGN_OR_RETURN(dcp::Tensor to, dcp::c_api::TensorOf(dest, nullptr));
    size_t ndim = entry->size.size();
    if (to.shape.size() != ndim || (ndim > 0 && offsets == nullptr)) {
      return Error(Code::kInvalidArgument, "'{}' has {} dimensions, the destination {}",
                   dcp::PrintableName(entry->name), ndim, to.shape.size());
    }
    dcp::Shape ones(ndim, 1);
    return checkpoint->checkpoint->ReadBox(
        *entry, dcp::Dims(offsets, ndim),
        steps == nullptr ? dcp::Dims(ones) : dcp::Dims(steps, ndim), to, unverified_bytes);
  });
}

dcp_status dcp_checkpoint_map(dcp_checkpoint* checkpoint, size_t index, uint64_t chunk,
                              dcp_tensor** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    DCP_RETURN_IF_ERROR(CheckTensor(*entry));
    if (chunk >= entry->chunk_count()) {
      return Error(Code::kInvalidArgument, "chunk {} of '{}', which has {}", chunk,
                   dcp::PrintableName(entry->name), entry->chunk_count());
    }
    DCP_ASSIGN_OR_RETURN(dcp::Tensor tensor,
                         checkpoint->checkpoint->MapChunk(*entry, static_cast<uint32_t>(chunk)));
    *out = new dcp_tensor(std::move(tensor));
    return Status::Ok();
  });
}

dcp_status dcp_checkpoint_object(dcp_checkpoint* checkpoint, size_t index, dcp_value** out,
                                 dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    if (entry->kind != EntryKind::kBytes) {
      return Error(Code::kMismatch, "'{}' is a tensor, not an object",
                   dcp::PrintableName(entry->name))
          .WithDetail("tensor", entry->name);
    }
    DCP_ASSIGN_OR_RETURN(dcp::ValuePtr value, checkpoint->checkpoint->ReadObject(*entry));
    *out = new dcp_value(std::move(value));
    return Status::Ok();
  });
}

dcp_status dcp_checkpoint_item(dcp_checkpoint* checkpoint, size_t index, uint64_t chunk,
                               dcp_value** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(const Entry* entry, EntryAt(checkpoint, index));
    if (chunk >= entry->chunk_count()) {
      return Error(Code::kInvalidArgument, "chunk {} of '{}', which has {}", chunk,
                   dcp::PrintableName(entry->name), entry->chunk_count());
    }
    DCP_ASSIGN_OR_RETURN(std::string bytes, checkpoint->checkpoint->ReadItemBytes(
                                                *entry, static_cast<uint32_t>(chunk)));
    *out = new dcp_value(Value::BytesOf(std::move(bytes)));
    return Status::Ok();
  });
}

dcp_status dcp_checkpoint_read_all(dcp_checkpoint* checkpoint, int32_t nested, dcp_value** out,
                                   dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(checkpoint, "checkpoint"));
    DCP_ASSIGN_OR_RETURN(dcp::ValuePtr value, checkpoint->checkpoint->ReadAll(nested != 0));
    *out = new dcp_value(std::move(value));
    return Status::Ok();
  });
}

}  // extern "C"
