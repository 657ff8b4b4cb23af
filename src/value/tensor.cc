#include "value/tensor.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/bytes.h"
#include "base/stream_copy.h"

namespace dcp {
namespace {

constexpr size_t kAlignment = 64;
// Side of the square that a transposing copy works on, in elements: both sides stay in L1.
constexpr int64_t kTile = 32;
// Bytes: smaller copies leave their target in the cache, where it may be wanted.
constexpr int64_t kStreamedTensor = 16 << 10;

// One dimension of a copy; strides in bytes.
struct Axis {
  int64_t size;
  int64_t from;
  int64_t to;
};

struct Axes {
  std::array<Axis, kMaxDims> axis;
  int count = 0;
  bool streamed = false;  // past the cache
  void Add(const Axis& one) { axis[static_cast<size_t>(count++)] = one; }
  Axis& operator[](int i) { return axis[static_cast<size_t>(i)]; }
  const Axis& operator[](int i) const { return axis[static_cast<size_t>(i)]; }
};

template <size_t kItem>
void CopyLine(const std::byte* from, std::byte* to, const Axis& line, bool streamed) {
  if (line.from == int64_t{kItem} && line.to == int64_t{kItem}) {
    const size_t size = static_cast<size_t>(line.size) * kItem;
    if (streamed) return StreamCopy(to, from, size);
    std::memcpy(to, from, size);
    return;
  }
  for (int64_t i = 0; i < line.size; ++i) {
    std::memcpy(to, from, kItem);
    from += line.from;
    to += line.to;
  }
}

template <size_t kItem>
void CopyPlane(const std::byte* from, std::byte* to, const Axis& outer, const Axis& inner,
               bool streamed) {
  const bool transposing = inner.from != int64_t{kItem} && outer.from < inner.from;
  if (!transposing) {
    for (int64_t i = 0; i < outer.size; ++i) {
      CopyLine<kItem>(from + i * outer.from, to + i * outer.to, inner, streamed);
    }
    return;
  }
  for (int64_t i = 0; i < outer.size; i += kTile) {
    const int64_t i_end = std::min(outer.size, i + kTile);
    for (int64_t j = 0; j < inner.size; j += kTile) {
      const Axis part = {std::min(inner.size - j, kTile), inner.from, inner.to};
      for (int64_t k = i; k < i_end; ++k) {
        CopyLine<kItem>(from + k * outer.from + j * inner.from, to + k * outer.to + j * inner.to,
                        part, false);
      }
    }
  }
}

template <size_t kItem>
void CopyAll(const std::byte* from, std::byte* to, const Axes& axes) {
  if (axes.count == 0) {
    std::memcpy(to, from, kItem);
    return;
  }
  if (axes.count == 1) {
    CopyLine<kItem>(from, to, axes[0], axes.streamed);
    return;
  }
  const int outer = axes.count - 2;
  std::array<int64_t, kMaxDims> at{};
  while (true) {
    CopyPlane<kItem>(from, to, axes[outer], axes[outer + 1], axes.streamed);
    int i = outer - 1;
    for (; i >= 0; --i) {
      int64_t& index = at[static_cast<size_t>(i)];
      from += axes[i].from;
      to += axes[i].to;
      if (++index < axes[i].size) break;
      from -= axes[i].from * axes[i].size;
      to -= axes[i].to * axes[i].size;
      index = 0;
    }
    if (i < 0) return;
  }
}

// Drops dimensions of size 1, orders the rest so that `to` is written in rising addresses, and
// joins neighbours that both sides step through evenly. A target with stride 0 keeps its order:
// there the last element in row-major order wins.
Axes Simplify(const Axes& given) {
  Axes sorted;
  bool repeats = false;
  for (int i = 0; i < given.count; ++i) {
    if (given[i].size == 1) continue;
    if (given[i].to == 0) repeats = true;
    sorted.Add(given[i]);
  }
  if (!repeats) {
    std::stable_sort(sorted.axis.begin(), sorted.axis.begin() + sorted.count,
                     [](const Axis& a, const Axis& b) { return a.to > b.to; });
  }
  Axes joined;
  joined.streamed = given.streamed;
  for (int i = 0; i < sorted.count; ++i) {
    const Axis& next = sorted[i];
    if (joined.count > 0) {
      Axis& last = joined[joined.count - 1];
      if (last.from == next.from * next.size && last.to == next.to * next.size) {
        last = {last.size * next.size, next.from, next.to};
        continue;
      }
    }
    joined.Add(next);
  }
  // The source's fastest dimension goes next to the target's, so that planes can be tiled.
  if (!repeats && joined.count > 2) {
    int fastest = joined.count - 1;
    for (int i = joined.count - 1; i >= 0; --i) {
      if (joined[i].from < joined[fastest].from) fastest = i;
    }
    if (fastest < joined.count - 2) {
      auto begin = joined.axis.begin();
      std::rotate(begin + fastest, begin + fastest + 1, begin + joined.count - 1);
    }
  }
  return joined;
}

void CopyAxes(const std::byte* from, std::byte* to, const Axes& axes, int64_t item) {
  const Axes simple = Simplify(axes);
  switch (item) {
    case 1:
      return CopyAll<1>(from, to, simple);
    case 2:
      return CopyAll<2>(from, to, simple);
    case 4:
      return CopyAll<4>(from, to, simple);
    case 8:
      return CopyAll<8>(from, to, simple);
    default:
      return CopyAll<16>(from, to, simple);
  }
}

// Copies elements [first, first + count) of a tensor's row-major order from or to a dense range.
// A range is a partial first row, whole rows, and a partial last row of the outermost dimension;
// the partial ones are ranges of the next dimension.
class DenseCopy {
 public:
  DenseCopy(const Tensor& tensor, std::byte* dense, bool gather)
      : tensor_(tensor), dense_(dense), gather_(gather), item_(DTypeSize(tensor.dtype)) {
    int64_t below = 1;
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      row_[i] = below;
      below *= tensor.shape[i];
    }
  }

  void Range(size_t dim, std::byte* data, int64_t first, int64_t count) {
    if (dim == tensor_.shape.size()) return Rows(dim, data, 1);
    const int64_t row = row_[dim];
    const int64_t stride = tensor_.strides[dim] * item_;
    data += first / row * stride;
    if (const int64_t within = first % row; within != 0 || count < row) {
      const int64_t head = std::min(count, row - within);
      Range(dim + 1, data, within, head);
      count -= head;
      data += stride;
    }
    if (const int64_t rows = count / row; rows > 0) {
      Rows(dim, data, rows);
      count -= rows * row;
      data += rows * stride;
    }
    if (count > 0) Range(dim + 1, data, 0, count);
  }

 private:
  void Rows(size_t dim, std::byte* data, int64_t rows) {
    Axes axes;
    int64_t elements = 1;
    for (size_t i = dim; i < tensor_.shape.size(); ++i) {
      const int64_t size = i == dim ? rows : tensor_.shape[i];
      const int64_t strided = tensor_.strides[i] * item_;
      const int64_t dense = row_[i] * item_;
      axes.Add(gather_ ? Axis{size, strided, dense} : Axis{size, dense, strided});
      elements *= size;
    }
    CopyAxes(gather_ ? data : dense_, gather_ ? dense_ : data, axes, item_);
    dense_ += elements * item_;
  }

  const Tensor& tensor_;
  std::byte* dense_;
  const bool gather_;
  const int64_t item_;
  std::array<int64_t, kMaxDims> row_{};  // elements of one row of each dimension
};

void CopyDense(const Tensor& tensor, int64_t first, int64_t count, std::byte* dense, bool gather) {
  if (count <= 0) return;
  DenseCopy(tensor, dense, gather).Range(0, tensor.data, first, count);
}

}  // namespace

int64_t Tensor::num_elements() const {
  int64_t count = 1;
  for (int64_t size : shape) {
    if (size == 0) return 0;
  }
  for (int64_t size : shape) count *= size;
  return count;
}

Result<Tensor> Tensor::Borrow(DType dtype, Dims shape, Dims strides, void* data,
                              std::shared_ptr<const void> owner) {
  if (shape.size() > size_t{kMaxDims}) {
    return Error(Code::kLimit, "a tensor of {} dimensions; at most {} are supported", shape.size(),
                 kMaxDims);
  }
  if (!strides.empty() && strides.size() != shape.size()) {
    return Error(Code::kInvalidArgument, "{} strides for a tensor of {} dimensions", strides.size(),
                 shape.size());
  }
  DCP_ASSIGN_OR_RETURN(int64_t count, NumElements(shape));
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.strides =
      strides.empty() ? ContiguousStrides(shape) : Shape(strides.begin(), strides.end());
  for (int64_t stride : tensor.strides) {
    if (stride < 0) {
      return Error(Code::kInvalidArgument, "negative stride in {}; copy the tensor first",
                   ToString(strides));
    }
  }
  DCP_ASSIGN_OR_RETURN(int64_t extent, StorageExtent(shape, tensor.strides));
  int64_t bytes;
  if (!CheckedMul(extent, DTypeSize(dtype), &bytes) ||
      !CheckedMul(count, DTypeSize(dtype), &bytes)) {
    return Error(Code::kLimit, "a tensor of shape {} and type {} has more than 2^63 bytes",
                 ToString(shape), DTypeName(dtype));
  }
  if (count > 0 && data == nullptr) {
    return Error(Code::kInvalidArgument, "no data for a tensor of shape {}", ToString(shape));
  }
  tensor.data = static_cast<std::byte*>(data);
  tensor.owner = std::move(owner);
  return tensor;
}

Result<Tensor> Tensor::Allocate(DType dtype, Dims shape) {
  DCP_ASSIGN_OR_RETURN(int64_t count, NumElements(shape));
  int64_t bytes;
  if (!CheckedMul(count, DTypeSize(dtype), &bytes)) {
    return Error(Code::kLimit, "a tensor of shape {} and type {} has more than 2^63 bytes",
                 ToString(shape), DTypeName(dtype));
  }
  if (bytes == 0) return Borrow(dtype, shape, {}, nullptr);
  const size_t rounded = AlignUp(static_cast<uint64_t>(bytes), kAlignment);
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) {
    return Error(Code::kOutOfMemory, "cannot allocate {} bytes for a tensor of shape {}", bytes,
                 ToString(shape));
  }
  return Borrow(dtype, shape, {}, data, std::shared_ptr<const void>(data, std::free));
}

Tensor Tensor::Slice(Dims offsets, Dims sizes) const {
  Tensor view = *this;
  view.shape.assign(sizes.begin(), sizes.end());
  if (view.num_elements() == 0) return view;
  int64_t skipped = 0;
  for (size_t i = 0; i < offsets.size(); ++i) skipped += offsets[i] * strides[i];
  view.data += skipped * DTypeSize(dtype);
  return view;
}

void CopyElements(const Tensor& from, const Tensor& to) {
  if (from.num_elements() == 0) return;
  if (from.data == to.data && from.strides == to.strides) return;
  const int64_t item = DTypeSize(from.dtype);
  Axes axes;
  for (size_t i = 0; i < from.shape.size(); ++i) {
    axes.Add({from.shape[i], from.strides[i] * item, to.strides[i] * item});
  }
  axes.streamed = from.num_bytes() >= kStreamedTensor;
  CopyAxes(from.data, to.data, axes, item);
  if (axes.streamed) StreamFence();
}

void GatherElements(const Tensor& from, int64_t first, int64_t count, std::byte* to) {
  CopyDense(from, first, count, to, /*gather=*/true);
}

void ScatterElements(const std::byte* from, int64_t first, int64_t count, const Tensor& to) {
  CopyDense(to, first, count, const_cast<std::byte*>(from), /*gather=*/false);
}

bool EqualElements(const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  const int64_t count = a.num_elements();
  if (count == 0) return true;
  if (a.device == b.device && a.data == b.data && a.strides == b.strides) return true;
  if (!a.device.is_cpu() || !b.device.is_cpu()) return false;
  if (a.contiguous() && b.contiguous()) {
    return std::memcmp(a.data, b.data, static_cast<size_t>(a.num_bytes())) == 0;
  }
  const int64_t item = DTypeSize(a.dtype);
  std::array<std::byte, 8192> left;
  std::array<std::byte, 8192> right;
  const int64_t step = static_cast<int64_t>(left.size()) / item;
  for (int64_t first = 0; first < count; first += step) {
    const int64_t part = std::min(step, count - first);
    GatherElements(a, first, part, left.data());
    GatherElements(b, first, part, right.data());
    if (std::memcmp(left.data(), right.data(), static_cast<size_t>(part * item)) != 0) return false;
  }
  return true;
}

}  // namespace dcp
