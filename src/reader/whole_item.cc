#include "reader/whole_item.h"

#include <new>

#include "base/checksum.h"

namespace dcp {

Result<std::unique_ptr<std::byte[]>> AllocateBytes(uint64_t size) {
  std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[size]);
  if (memory == nullptr) {
    return Error(Code::kOutOfMemory, "no memory for {} bytes of a stored tensor", size);
  }
  return memory;
}

Result<std::string> ReadRawItem(const ReadableFile& file, const ItemPlace& place, bool verify) {
  DCP_RETURN_IF_ERROR(CheckInsideFile(place, file.size()));
  std::string raw;
  try {
    raw.resize(place.length());
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "no memory for an item of {} bytes", place.length());
  }
  DCP_RETURN_IF_ERROR(
      file.ReadAt(place.offset(), {reinterpret_cast<std::byte*>(raw.data()), raw.size()}));
  if (verify && place.location().has_crc32) {
    DCP_RETURN_IF_ERROR(CheckItemCrc(place, Crc32(0, AsBytes(raw))));
  }
  return raw;
}

Status CheckItemCrc(const ItemPlace& place, uint32_t crc) {
  if (crc == place.location().crc32) return Status::Ok();
  return Error(Code::kCorrupt,
               "the {} bytes there are damaged or belong to another item: their CRC32 is {:08x}, "
               "the metadata says {:08x}; load another copy of the checkpoint",
               place.length(), crc, place.location().crc32);
}

Result<std::string> DecodeItem(std::string raw, const ItemPlace& place, uint64_t max_size,
                               const ReaderOptions& options) {
  if (place.transforms().empty()) {
    if (raw.size() <= max_size) return raw;
    return Error(Code::kLimit, "it has {} bytes, more than the {} allowed", raw.size(), max_size);
  }
  if (options.transforms == nullptr) {
    return Status(Code::kInvalidArgument, "reading a transformed item needs a transform registry");
  }
  return DecodeAll(*options.transforms, place.transforms(), AsBytes(raw), max_size);
}

Result<uint64_t> DecodedTensorLimit(const ItemPlace& place) {
  DCP_ASSIGN_OR_RETURN(const int64_t elements, NumElements(place.entry->chunk(place.chunk).sizes));
  const int64_t item =
      place.entry->unknown_dtype.empty() ? DTypeSize(place.entry->properties.dtype) : 16;
  // Twice, for records larger than the tensor in them; and some for what a zip adds.
  int64_t limit;
  if (!CheckedMul(elements, 2 * item, &limit) || !CheckedAdd<int64_t>(limit, 1 << 20, &limit)) {
    return Error(Code::kLimit, "a chunk of {} elements is too large to decode", elements);
  }
  return static_cast<uint64_t>(limit);
}

}  // namespace dcp
