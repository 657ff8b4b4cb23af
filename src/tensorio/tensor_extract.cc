#include "tensorio/math_bits.h"
#include "tensorio/tensor_item.h"

namespace dcp {

void ExtractBox(const StoredTensor& stored, Bytes payload, Dims offsets, const Tensor& out) {
  if (out.num_elements() == 0) return;
  Tensor view;
  view.dtype = stored.dtype;
  view.shape = out.shape;
  view.strides = stored.strides;
  int64_t first = stored.storage_offset;
  for (size_t i = 0; i < offsets.size(); ++i) first += offsets[i] * stored.strides[i];
  // Only read from.
  view.data = const_cast<std::byte*>(payload.data()) + first * DTypeSize(stored.dtype);
  CopyElements(view, out);
  ApplyMathBits(stored.conj, stored.neg, out);
}

}  // namespace dcp
