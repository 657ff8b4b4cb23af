#include "reader/stored_check.h"

#include <algorithm>

namespace dcp {

Status CheckAgainstMetadata(const StoredTensor& stored, const ItemPlace& place) {
  const Entry& entry = *place.entry;
  if (entry.unknown_dtype.empty() && stored.dtype != entry.properties.dtype) {
    return Error(Code::kMismatch, "the file holds {} where the metadata says {}",
                 DTypeName(stored.dtype), DTypeName(entry.properties.dtype));
  }
  const Dims sizes = entry.chunk(place.chunk).sizes;
  if (!std::ranges::equal(stored.shape, sizes)) {
    return Error(Code::kMismatch, "the file holds shape {} where the metadata says {}",
                 ToString(stored.shape), ToString(sizes));
  }
  return Status::Ok();
}

Status CheckLoadable(const StoredTensor& stored, const ItemPlace& place) {
  if (stored.form != TensorForm::kDense) {
    return Error(Code::kUnsupported,
                 "it is stored as {}, which cannot be loaded as a plain tensor; its raw bytes can",
                 stored.description);
  }
  return CheckAgainstMetadata(stored, place);
}

Status CheckRecords(const StoredTensor& stored, uint64_t length) {
  const auto inside = [length](uint64_t offset, uint64_t size) {
    return offset <= length && size <= length - offset;
  };
  if (!inside(stored.data_offset, stored.deflated ? 0 : stored.data_size)) {
    return Error(Code::kCorrupt, "its data, {} bytes at {}, reach past the item's {} bytes",
                 stored.data_size, stored.data_offset, length);
  }
  const uint64_t blocks = stored.data_size / kChecksumBlock + 1;
  if (stored.block_table_offset && !stored.deflated &&
      !inside(*stored.block_table_offset,
              (stored.data_size % kChecksumBlock == 0 ? blocks - 1 : blocks) * sizeof(uint32_t))) {
    return Error(Code::kCorrupt, "its table of checksums at {} reaches past the item's {} bytes",
                 *stored.block_table_offset, length);
  }
  return Status::Ok();
}

}  // namespace dcp
