#include "tensorio/math_bits.h"

#include "base/bytes.h"

namespace dcp {
namespace {

// Flips the sign of every `step`-th number of sizeof(T) bytes, from number `first` on.
template <typename T>
void FlipSigns(std::byte* data, int64_t count, int64_t first, int64_t step) {
  constexpr T kSign = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  for (int64_t i = first; i < count; i += step) {
    std::byte* at = data + i * static_cast<int64_t>(sizeof(T));
    StoreLe<T>(at, static_cast<T>(LoadLe<T>(at) ^ kSign));
  }
}

void FlipSigns(int64_t width, const Tensor& tensor, int64_t first, int64_t step) {
  const int64_t count = tensor.num_bytes() / width;
  if (width == 2) FlipSigns<uint16_t>(tensor.data, count, first, step);
  if (width == 4) FlipSigns<uint32_t>(tensor.data, count, first, step);
  if (width == 8) FlipSigns<uint64_t>(tensor.data, count, first, step);
}

}  // namespace

void ApplyMathBits(bool conj, bool neg, const Tensor& tensor) {
  if ((!conj && !neg) || tensor.num_elements() == 0) return;
  const bool complex = tensor.dtype == DType::kComplex32 || tensor.dtype == DType::kComplex64 ||
                       tensor.dtype == DType::kComplex128;
  const int64_t width = complex ? DTypeSize(tensor.dtype) / 2 : DTypeSize(tensor.dtype);
  if (!complex) return FlipSigns(width, tensor, 0, 1);
  // Real and imaginary parts alternate; a negated conjugate changes the real parts alone.
  if (conj && neg) return FlipSigns(width, tensor, 0, 2);
  if (conj) return FlipSigns(width, tensor, 1, 2);
  FlipSigns(width, tensor, 0, 1);
}

}  // namespace dcp
