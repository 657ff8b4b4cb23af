#include "c_api/tensor.h"

#include <array>
#include <iterator>
#include <string>

#include "value/dlpack.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::Tensor;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

static_assert(static_cast<int32_t>(dcp::DType::kBFloat16) == DCP_BFLOAT16);
static_assert(static_cast<int32_t>(dcp::DType::kUInt64) == DCP_UINT64);
static_assert(static_cast<int32_t>(dcp::DType::kFloat4E2M1FNx2) == DCP_FLOAT4_E2M1FN_X2);
static_assert(static_cast<int32_t>(dcp::DType::kQUInt2x4) == DCP_QUINT2X4);

namespace dcp::c_api {

Result<Tensor> TensorOf(const dcp_tensor_view* view, std::shared_ptr<const void> owner) {
  if (view == nullptr) return Error(Code::kInvalidArgument, "tensor view is NULL");
  if (view->struct_size != sizeof(dcp_tensor_view)) {
    return Error(Code::kInvalidArgument, "dcp_tensor_view has struct_size {}, expected {}",
                 view->struct_size, sizeof(dcp_tensor_view));
  }
  if (!IsValidDType(view->dtype)) {
    return Error(Code::kInvalidArgument, "{} is no dtype", view->dtype);
  }
  if (view->ndim < 0 || view->ndim > kMaxDims) {
    return Error(Code::kInvalidArgument, "ndim is {}: 0 to {} is allowed", view->ndim, kMaxDims);
  }
  if (view->ndim > 0 && view->shape == nullptr) {
    return Error(Code::kInvalidArgument, "shape is NULL for {} dimensions", view->ndim);
  }
  size_t ndim = static_cast<size_t>(view->ndim);
  Dims strides = view->strides == nullptr ? Dims() : Dims(view->strides, ndim);
  DCP_ASSIGN_OR_RETURN(Tensor tensor,
                       Tensor::Borrow(static_cast<DType>(view->dtype), Dims(view->shape, ndim),
                                      strides, view->data, std::move(owner)));
  if (view->device_type != 0) tensor.device = {view->device_type, view->device_index};
  tensor.requires_grad = (view->flags & DCP_TENSOR_REQUIRES_GRAD) != 0;
  tensor.read_only = (view->flags & DCP_TENSOR_READ_ONLY) != 0;
  return tensor;
}

}  // namespace dcp::c_api

extern "C" {

const char* dcp_dtype_name(int32_t dtype) {
  if (!dcp::IsValidDType(dtype)) return nullptr;
  return dcp::DTypeName(static_cast<dcp::DType>(dtype)).data();
}

int32_t dcp_dtype_from_name(const char* name) {
  if (name == nullptr) return 0;
  auto dtype = dcp::DTypeFromName(name);
  return dtype ? static_cast<int32_t>(*dtype) : 0;
}

int32_t dcp_dtype_size(int32_t dtype) {
  if (!dcp::IsValidDType(dtype)) return 0;
  return static_cast<int32_t>(dcp::DTypeSize(static_cast<dcp::DType>(dtype)));
}

dcp_status dcp_tensor_new(const dcp_tensor_view* view, void* owner, void (*release)(void*),
                          dcp_tensor** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<const void> counted;
    if (release != nullptr) {
      counted = std::make_shared<dcp::c_api::UserData>(owner, release);
    }
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(Tensor tensor, dcp::c_api::TensorOf(view, std::move(counted)));
    *out = new dcp_tensor(std::move(tensor));
    return Status::Ok();
  });
}

dcp_status dcp_tensor_alloc(int32_t dtype, int32_t ndim, const int64_t* shape, dcp_tensor** out,
                            dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    if (!dcp::IsValidDType(dtype)) return Error(Code::kInvalidArgument, "{} is no dtype", dtype);
    if (ndim < 0 || ndim > dcp::kMaxDims || (ndim > 0 && shape == nullptr)) {
      return Error(Code::kInvalidArgument, "shape is NULL, or ndim {} is not 0 to {}", ndim,
                   dcp::kMaxDims);
    }
    DCP_ASSIGN_OR_RETURN(Tensor tensor,
                         Tensor::Allocate(static_cast<dcp::DType>(dtype),
                                          dcp::Dims(shape, static_cast<size_t>(ndim))));
    *out = new dcp_tensor(std::move(tensor));
    return Status::Ok();
  });
}

dcp_status dcp_tensor_from_dlpack(void* managed, int32_t versioned, dcp_tensor** out,
                                  dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (managed == nullptr) return Error(Code::kInvalidArgument, "managed is NULL");
    auto tensor = dcp::TensorFromDLPack(managed, versioned != 0);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    if (!tensor.ok()) return tensor.status();
    *out = new dcp_tensor(*std::move(tensor));
    return Status::Ok();
  });
}

dcp_status dcp_tensor_to_dlpack(const dcp_tensor* tensor, int32_t versioned, void** managed,
                                dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(managed, "managed"));
    *managed = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(tensor, "tensor"));
    DCP_ASSIGN_OR_RETURN(
        *managed, dcp::TensorToDLPack(tensor->tensor, versioned != 0, tensor->tensor.read_only));
    return Status::Ok();
  });
}

dcp_status dcp_tensor_get_view(const dcp_tensor* tensor, dcp_tensor_view* view, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(tensor, "tensor"));
    DCP_RETURN_IF_ERROR(CheckOut(view, "view"));
    if (view->struct_size != sizeof(dcp_tensor_view)) {
      return Error(Code::kInvalidArgument, "dcp_tensor_view has struct_size {}, expected {}",
                   view->struct_size, sizeof(dcp_tensor_view));
    }
    const Tensor& t = tensor->tensor;
    view->dtype = static_cast<int32_t>(t.dtype);
    view->ndim = static_cast<int32_t>(t.shape.size());
    view->device_type = t.device.type;
    view->device_index = t.device.index;
    view->flags =
        (t.requires_grad ? DCP_TENSOR_REQUIRES_GRAD : 0) | (t.read_only ? DCP_TENSOR_READ_ONLY : 0);
    view->data = t.data;
    view->shape = t.shape.data();
    view->strides = t.strides.data();
    return Status::Ok();
  });
}

void dcp_tensor_free(dcp_tensor* tensor) { dcp::c_api::Free(tensor); }

}  // extern "C"
