// A tensor in memory: geometry plus a counted owner of the bytes.
#ifndef DCP_VALUE_TENSOR_H_
#define DCP_VALUE_TENSOR_H_

#include <cstddef>
#include <memory>

#include "base/bytes.h"
#include "base/device.h"
#include "base/dtype.h"
#include "base/shape.h"

namespace dcp {

// Elements that are fetched when they are needed, for tensors too large to hold at once. One
// thread at a time.
class ElementSource {
 public:
  virtual ~ElementSource() = default;
  // Fills `out` with the bytes at `offset` of the row-major elements; both are multiples of the
  // element size, and calls go forward through the bytes.
  virtual Status Read(uint64_t offset, MutableBytes out) = 0;
};

// `data` points at element [0, 0, ...]; strides are in elements, >= 0, one per dimension.
// Copies share the bytes; `owner` keeps them alive (null when they are borrowed: the maker says
// for how long).
struct Tensor {
  DType dtype = DType::kFloat32;
  bool requires_grad = false;
  bool read_only = false;  // the bytes must not be written: a load into it is refused
  Shape shape;
  Shape strides;
  std::byte* data = nullptr;  // null only when empty
  Device device;
  std::shared_ptr<const void> owner;
  // Non-null: the elements are not in memory but come from here; `data` is null, strides are
  // row-major. Only writers take such tensors.
  std::shared_ptr<ElementSource> source;

  int64_t num_elements() const;  // shape was validated
  int64_t num_bytes() const { return num_elements() * DTypeSize(dtype); }
  bool contiguous() const { return IsContiguous(shape, strides); }

  // Validates shape (0 <= sizes, ndim <= kMaxDims, no overflow) and strides. Empty `strides` with
  // a non-empty shape means row-major.
  static Result<Tensor> Borrow(DType dtype, Dims shape, Dims strides, void* data,
                               std::shared_ptr<const void> owner = nullptr);
  // Fresh row-major memory, aligned to 64 bytes, not initialised.
  static Result<Tensor> Allocate(DType dtype, Dims shape);
  // The box [offsets, offsets + sizes) as a view on the same bytes; the box must lie inside.
  Tensor Slice(Dims offsets, Dims sizes) const;
};

// Copies elements between tensors of one shape and dtype, any strides, both on the CPU.
void CopyElements(const Tensor& from, const Tensor& to);
// Copies elements row-major into / out of a dense byte range, elements [first, first + count).
void GatherElements(const Tensor& from, int64_t first, int64_t count, std::byte* to);
void ScatterElements(const std::byte* from, int64_t first, int64_t count, const Tensor& to);
// True when dtype and shape agree and the elements are the same bit for bit, whatever the strides.
// Tensors off the CPU are equal only to views of the very same bytes.
bool EqualElements(const Tensor& a, const Tensor& b);

}  // namespace dcp

#endif  // DCP_VALUE_TENSOR_H_
