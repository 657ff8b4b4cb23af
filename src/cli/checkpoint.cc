#include "cli/checkpoint.h"

#include "cli/text.h"

namespace dcp::cli {

Failure Checkpoint::Open(Session& session, const std::string& where, Checkpoint* out) {
  out->where_ = where;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_storage_open(where.c_str(), nullptr, Out(out->storage_), error);
      })) {
    return failure;
  }
  dcp_open_options options;
  dcp_open_options_init(&options, sizeof options);
  options.cancel = session.cancel();
  return Try([&](dcp_error** error) {
    return dcp_checkpoint_open(session.context(), out->storage_.get(), &options, Out(out->handle_),
                               error);
  });
}

Failure Checkpoint::ReadEntry(size_t index, Entry* out) const {
  dcp_entry_info info = {};
  info.struct_size = sizeof info;
  if (Failure failure = Try(
          [&](dcp_error** error) { return dcp_checkpoint_entry(get(), index, &info, error); })) {
    return failure;
  }
  out->index = index;
  out->is_tensor = info.kind == DCP_ENTRY_TENSOR;
  out->name = std::string_view(info.name, info.name_size);
  out->dtype_name = info.dtype_name == nullptr ? "" : info.dtype_name;
  out->dtype = info.dtype;
  out->shape = std::span<const int64_t>(info.shape, static_cast<size_t>(info.ndim));
  out->bytes = info.bytes;
  out->stored_bytes = info.stored_bytes;
  out->chunk_count = info.chunk_count;
  return Failure();
}

Failure Checkpoint::ReadEntries(std::vector<Entry>* out) const {
  out->resize(count());
  for (size_t i = 0; i < out->size(); ++i) {
    if (Failure failure = ReadEntry(i, &(*out)[i])) return failure;
  }
  return Failure();
}

Failure Checkpoint::ReadChunk(size_t index, uint64_t chunk, Chunk* out) const {
  dcp_chunk_info info = {};
  info.struct_size = sizeof info;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_checkpoint_chunk(get(), index, chunk, &info, error);
      })) {
    return failure;
  }
  size_t ndim = static_cast<size_t>(info.ndim);
  out->offsets = std::span<const int64_t>(info.offsets, ndim);
  out->sizes = std::span<const int64_t>(info.sizes, ndim);
  out->file = info.file;
  out->offset = info.offset;
  out->length = info.length;
  out->transforms = info.transforms == nullptr ? "" : info.transforms;
  return Failure();
}

Failure Checkpoint::Find(std::string_view name, Entry* out) const {
  size_t index = 0;
  Failure failure = Try([&](dcp_error** error) {
    return dcp_checkpoint_find(get(), name.data(), name.size(), &index, error);
  });
  if (failure.status() == DCP_NOT_FOUND && name.find('\\') != std::string_view::npos) {
    if (std::optional<std::string> bytes = Unescape(name)) {
      if (!Try([&](dcp_error** error) {
            return dcp_checkpoint_find(get(), bytes->data(), bytes->size(), &index, error);
          })) {
        return ReadEntry(index, out);
      }
    }
  }
  if (failure) return failure;
  return ReadEntry(index, out);
}

Failure Checkpoint::Read(const Entry& entry, std::span<const int64_t> offsets,
                         std::span<const int64_t> steps, std::span<const int64_t> sizes,
                         int32_t dtype, void* data, uint64_t* unverified) const {
  dcp_tensor_view view = {};
  view.struct_size = sizeof view;
  view.dtype = dtype;
  view.ndim = static_cast<int32_t>(sizes.size());
  view.device_type = 1;
  view.data = data;
  view.shape = sizes.data();
  uint64_t without = 0;
  Failure failure = Try([&](dcp_error** error) {
    return dcp_checkpoint_read(get(), entry.index, offsets.data(),
                               steps.empty() ? nullptr : steps.data(), &view, &without, error);
  });
  *unverified += without;
  return failure;
}

uint64_t ElementCount(std::span<const int64_t> sizes) {
  uint64_t count = 1;
  for (int64_t size : sizes) count *= static_cast<uint64_t>(size);
  return count;
}

Json EntryJson(const Entry& entry) {
  Json json;
  SetName(json, "name", entry.name);
  json["kind"] = entry.is_tensor ? "tensor" : "object";
  if (entry.is_tensor) {
    json["dtype"] = std::string(entry.dtype_name);
    json["shape"] = std::vector<int64_t>(entry.shape.begin(), entry.shape.end());
  } else {
    json["dtype"] = nullptr;
    json["shape"] = nullptr;
  }
  json["bytes"] = entry.bytes;
  json["stored_bytes"] = entry.stored_bytes;
  json["shards"] = entry.chunk_count;
  return json;
}

std::string_view KindText(const Entry& entry) {
  return entry.is_tensor ? entry.dtype_name : std::string_view("object");
}

}  // namespace dcp::cli
