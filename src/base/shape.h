// Shapes, strides (in elements) and boxes: the geometry of tensors and their chunks.
#ifndef DCP_BASE_SHAPE_H_
#define DCP_BASE_SHAPE_H_

#include <cstdint>
#include <string>

#include "base/dims.h"
#include "base/status.h"

namespace dcp {

inline constexpr int kMaxDims = 64;  // torch's own limit for a tensor's rank

// Product of sizes; 1 for 0-d. Error when a size is negative or the product does not fit int64.
Result<int64_t> NumElements(Dims sizes);
// Row-major strides in elements, as torch computes them (size-0 and size-1 dims count as 1).
Shape ContiguousStrides(Dims sizes);
// True when elements lie row-major without gaps; dims of size 1 and empty tensors are free.
bool IsContiguous(Dims sizes, Dims strides);
// Number of elements from the first to one past the last touched; 0 when empty. Strides >= 0.
Result<int64_t> StorageExtent(Dims sizes, Dims strides);
std::string ToString(Dims sizes);  // "[2, 3]"

// A borrowed box: `offsets` and `sizes` have one entry per dimension.
struct Box {
  Dims offsets;
  Dims sizes;
};

}  // namespace dcp

#endif  // DCP_BASE_SHAPE_H_
