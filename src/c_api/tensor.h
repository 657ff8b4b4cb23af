#ifndef DCP_C_API_TENSOR_H_
#define DCP_C_API_TENSOR_H_

#include "c_api/handle.h"
#include "value/tensor.h"

struct dcp_tensor : dcp::c_api::Handle {
  explicit dcp_tensor(dcp::Tensor of) : tensor(std::move(of)) {}
  dcp::Tensor tensor;
};

namespace dcp::c_api {

// Validates everything in `view`; the result borrows (or shares through `owner`) its memory.
Result<Tensor> TensorOf(const dcp_tensor_view* view, std::shared_ptr<const void> owner);

}  // namespace dcp::c_api

#endif  // DCP_C_API_TENSOR_H_
