#include "reader/place_item.h"

#include <algorithm>
#include <vector>

#include "reader/extract.h"

namespace dcp {

Status PlaceTensorItem(const ByteSource& item, const TensorRead& read, DeviceCopier* copier) {
  DCP_ASSIGN_OR_RETURN(const StoredTensor stored, ParseTensorItem(item));
  if (stored.form != TensorForm::kDense) {
    return Error(Code::kUnsupported, "the stored tensor is {}", stored.description);
  }
  const Dims sizes = read.entry->chunk(read.chunk).sizes;
  if (!std::equal(sizes.begin(), sizes.end(), stored.shape.begin(), stored.shape.end())) {
    return Error(Code::kMismatch, "the item holds a tensor of {}, the metadata says {}",
                 ToString(stored.shape), ToString(sizes));
  }
  std::vector<std::byte> payload(stored.data_size);
  bool checked = false;
  DCP_RETURN_IF_ERROR(ReadPayload(item, stored, payload, &checked));
  return ExtractRead(stored, payload, read, copier);
}

}  // namespace dcp
