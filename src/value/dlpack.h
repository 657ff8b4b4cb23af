// DLPack in and out: the versioned struct and the older one, declared here from its public
// layout (dlpack.h 1.0), since the format is an ABI and not a library.
#ifndef DCP_VALUE_DLPACK_H_
#define DCP_VALUE_DLPACK_H_

#include "value/tensor.h"

namespace dcp {

// Takes `managed` (a DLManagedTensorVersioned*, or DLManagedTensor* when `versioned` is false);
// its deleter runs when the last copy of the tensor is gone, or at once on failure.
Result<Tensor> TensorFromDLPack(void* managed, bool versioned);
// A new managed struct that shares and keeps alive the tensor's bytes. kUnsupported for dtypes
// without a DLPack type code.
Result<void*> TensorToDLPack(const Tensor& tensor, bool versioned, bool read_only);

}  // namespace dcp

#endif  // DCP_VALUE_DLPACK_H_
