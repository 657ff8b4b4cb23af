// Resolves torch's lazy conjugation and negation.
#ifndef DCP_TENSORIO_MATH_BITS_H_
#define DCP_TENSORIO_MATH_BITS_H_

#include "value/tensor.h"

namespace dcp {

// Conjugates and negates every element in place. `tensor` is row-major; its dtype is one that
// torch marks so: complex, or a signed float (negation alone).
void ApplyMathBits(bool conj, bool neg, const Tensor& tensor);

}  // namespace dcp

#endif  // DCP_TENSORIO_MATH_BITS_H_
