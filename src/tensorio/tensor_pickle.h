// data.pkl of a tensor's item: the bytes that stock pickles for a detached tensor on the CPU.
#ifndef DCP_TENSORIO_TENSOR_PICKLE_H_
#define DCP_TENSORIO_TENSOR_PICKLE_H_

#include <string>

#include "base/dtype.h"
#include "base/shape.h"

namespace dcp {

// Appends the pickle of a tensor that owns storage "0" of `num_elements` elements, from its start.
// `dtype` must be one that torch.save takes (not quantized, not int1..7 or uint1..7).
void AppendTensorPickle(DType dtype, Dims shape, Dims strides, int64_t num_elements,
                        std::string* out);

}  // namespace dcp

#endif  // DCP_TENSORIO_TENSOR_PICKLE_H_
