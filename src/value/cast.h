// Element conversion between dtypes, as torch's copy_ does it.
#ifndef DCP_VALUE_CAST_H_
#define DCP_VALUE_CAST_H_

#include "value/tensor.h"

namespace dcp {

bool CanCast(DType from, DType to);  // numeric, bool and complex types; not bits, packed, quantized
// Same shape, any strides, both on the CPU; CanCast(from.dtype, to.dtype). Round to nearest even;
// float to integer truncates; complex to real drops the imaginary part.
void CastElements(const Tensor& from, const Tensor& to);

}  // namespace dcp

#endif  // DCP_VALUE_CAST_H_
