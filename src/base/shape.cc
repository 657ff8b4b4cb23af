#include "base/shape.h"

#include <algorithm>

#include "base/bytes.h"

namespace dcp {

Result<int64_t> NumElements(Dims sizes) {
  int64_t count = 1;
  bool empty = false;
  bool overflow = false;
  for (int64_t size : sizes) {
    if (size < 0)
      return Error(Code::kInvalidArgument, "negative size in shape {}", ToString(sizes));
    if (size == 0) empty = true;
    if (!CheckedMul(count, std::max<int64_t>(size, 1), &count)) overflow = true;
  }
  if (empty) return int64_t{0};
  if (overflow) return Error(Code::kLimit, "shape {} has more than 2^63 elements", ToString(sizes));
  return count;
}

Shape ContiguousStrides(Dims sizes) {
  Shape strides(sizes.size());
  uint64_t step = 1;  // wraps for absurd shapes, which NumElements refuses
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = static_cast<int64_t>(step);
    step *= static_cast<uint64_t>(std::max<int64_t>(sizes[i], 1));
  }
  return strides;
}

bool IsContiguous(Dims sizes, Dims strides) {
  int64_t expected = 1;
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return true;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 1) continue;
    if (strides[i] != expected) return false;
    if (!CheckedMul(expected, sizes[i], &expected)) return false;
  }
  return true;
}

Result<int64_t> StorageExtent(Dims sizes, Dims strides) {
  DCP_ASSIGN_OR_RETURN(int64_t count, NumElements(sizes));
  if (count == 0) return int64_t{0};
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (strides[i] < 0) {
      return Error(Code::kInvalidArgument, "negative stride in {}", ToString(strides));
    }
    int64_t reach;
    if (!CheckedMul(sizes[i] - 1, strides[i], &reach) || !CheckedAdd(last, reach, &last)) {
      return Error(Code::kLimit, "strides {} reach past 2^63 elements", ToString(strides));
    }
  }
  if (!CheckedAdd<int64_t>(last, 1, &last)) return Error(Code::kLimit, "tensor extent overflows");
  return last;
}

std::string ToString(Dims sizes) { return fmt::format("[{}]", fmt::join(sizes, ", ")); }

}  // namespace dcp
