#include "c_api/entry_info.h"

#include "base/bytes.h"
#include "value/names.h"

namespace dcp::c_api {
namespace {

Status CheckInfo(const void* info, uint32_t struct_size, size_t expected) {
  if (info == nullptr || struct_size != expected) {
    return Error(Code::kInvalidArgument, "info is NULL, or its struct_size is not {}", expected);
  }
  return Status::Ok();
}

uint64_t TensorBytes(const Entry& entry) {
  auto elements = NumElements(entry.size);
  uint64_t bytes = 0;
  if (!elements.ok() || !entry.unknown_dtype.empty() ||
      !CheckedMul(static_cast<uint64_t>(*elements),
                  static_cast<uint64_t>(DTypeSize(entry.properties.dtype)), &bytes)) {
    return 0;
  }
  return bytes;
}

}  // namespace

Status ShowEntry(const Entry& entry, dcp_entry_info* info) {
  DCP_RETURN_IF_ERROR(CheckInfo(info, info ? info->struct_size : 0, sizeof *info));
  const bool tensor = entry.kind == EntryKind::kTensor;
  const bool known = tensor && entry.unknown_dtype.empty();
  info->kind = tensor ? DCP_ENTRY_TENSOR : DCP_ENTRY_OBJECT;
  info->name = entry.name.c_str();
  info->name_size = entry.name.size();
  info->dtype_name = !tensor ? nullptr
                     : known ? DTypeName(entry.properties.dtype).data()
                             : entry.unknown_dtype.c_str();
  info->shape = entry.size.data();
  info->ndim = static_cast<int32_t>(entry.size.size());
  info->dtype = known ? static_cast<int32_t>(entry.properties.dtype) : 0;
  info->stored_bytes = 0;
  for (const Location& location : entry.locations) info->stored_bytes += location.length;
  info->bytes = tensor ? TensorBytes(entry) : info->stored_bytes;
  info->chunk_count = entry.chunk_count();
  return Status::Ok();
}

Status ShowChunk(const Metadata& metadata, const std::vector<std::string>& transform_texts,
                 const Entry& entry, uint64_t chunk, dcp_chunk_info* info) {
  DCP_RETURN_IF_ERROR(CheckInfo(info, info ? info->struct_size : 0, sizeof *info));
  if (chunk >= entry.chunk_count()) {
    return Error(Code::kInvalidArgument, "chunk {} of '{}', which has {}", chunk,
                 PrintableName(entry.name), entry.chunk_count());
  }
  const Location& location = entry.locations[chunk];
  const Box box = entry.kind == EntryKind::kTensor ? entry.chunk(chunk) : Box{};
  info->ndim = static_cast<int32_t>(box.sizes.size());
  info->offsets = box.offsets.data();
  info->sizes = box.sizes.data();
  info->file = location.missing() ? nullptr : metadata.files[location.file].c_str();
  info->offset = location.offset;
  info->length = location.length;
  info->transforms = transform_texts[location.transforms].c_str();
  return Status::Ok();
}

std::vector<std::string> TransformTexts(const Metadata& metadata) {
  std::vector<std::string> texts;
  for (const auto& set : metadata.transform_sets) {
    texts.push_back(fmt::format("{}", fmt::join(set, ",")));
  }
  return texts;
}

}  // namespace dcp::c_api
