// Tensors, storages and numpy's arrays in a pickle.
#include <algorithm>

#include "tensorio/numpy_objects.h"
#include "tensorio/object_decode.h"
#include "tensorio/object_encode.h"
#include "value/names.h"

namespace dcp {
namespace {

bool IsColumnMajor(Shape shape, Shape strides) {
  std::reverse(shape.begin(), shape.end());
  std::reverse(strides.begin(), strides.end());
  return IsContiguous(shape, strides);
}

bool IsTyped(DType dtype) { return !GetDTypeInfo(dtype).storage_class.empty(); }

}  // namespace

// ('storage', class, key, 'cpu', numel); the class is the value's name when it is a storage itself.
void ObjectEncoder::Storage(const Value& value) {
  const DType dtype = value.tensor.dtype;
  const uint32_t key = storages_.Find(&value).storage;
  const auto bytes = static_cast<int64_t>(storages_.storages()[key].size());
  const bool untyped = value.name == "torch.storage.UntypedStorage" || !IsTyped(dtype);
  writer_.Mark();
  writer_.InternedString("storage");
  if (untyped) {
    writer_.Global("torch.storage", "UntypedStorage");
  } else {
    writer_.Global("torch", GetDTypeInfo(dtype).storage_class);
  }
  writer_.String(std::to_string(key));
  writer_.InternedString("cpu");
  writer_.Int(untyped ? bytes : bytes / DTypeSize(dtype));
  writer_.TupleFromMark();
  writer_.PersistentId();
}

void ObjectEncoder::DenseArguments(const Value& value) {
  writer_.Mark();
  Storage(value);
  writer_.Int(storages_.Find(&value).offset);
  Dims(value.tensor.shape);
  Dims(value.tensor.strides);
  writer_.Bool(value.tensor.requires_grad && value.name.empty());
  EmptyOrderedDict();
  if (!IsTyped(value.tensor.dtype)) writer_.Global("torch", DTypeName(value.tensor.dtype));
  writer_.TupleFromMark();
}

Status ObjectEncoder::Tensor(const Value& value) {
  const bool parameter = value.name == kParameterName;
  if (!value.name.empty() && !parameter) {
    std::string typed = "torch.";
    typed += GetDTypeInfo(value.tensor.dtype).storage_class;
    if (value.name != typed && value.name != "torch.storage.UntypedStorage") {
      return Error(Code::kInvalidArgument, "a tensor of unknown type '{}'",
                   PrintableName(value.name));
    }
    Storage(value);
    return Status::Ok();
  }
  const ValuePtr* state = nullptr;
  if (value.constructed != nullptr && value.constructed->state != nullptr) {
    state = &value.constructed->state;
  }
  const std::string_view rebuild = IsTyped(value.tensor.dtype) ? "torch._utils._rebuild_tensor_v2"
                                                               : "torch._utils._rebuild_tensor_v3";
  if (parameter) {
    Global(state == nullptr ? "torch._utils._rebuild_parameter"
                            : "torch._utils._rebuild_parameter_with_state");
    writer_.Mark();
  } else if (state != nullptr) {
    Global(kTypedTensorName);
    writer_.Mark();
  }
  Global(rebuild);
  if (!parameter && state != nullptr) Global("torch.Tensor");
  DenseArguments(value);
  if (parameter || state == nullptr) writer_.Reduce();
  if (parameter) {
    writer_.Bool(value.tensor.requires_grad);
    EmptyOrderedDict();
  }
  if (state != nullptr) DCP_RETURN_IF_ERROR(Child(*state));
  if (parameter || state != nullptr) {
    writer_.TupleFromMark();
    writer_.Reduce();
  }
  return Status::Ok();
}

// numpy.dtype('f4', False, True) with its state for native byte order.
void ObjectEncoder::NumpyType(DType dtype) {
  Global("numpy.dtype");
  writer_.InternedString(NumpyName(dtype));
  writer_.Bool(false);
  writer_.Bool(true);
  writer_.Tuple3();
  writer_.Reduce();
  writer_.Mark();
  writer_.Int(3);
  writer_.InternedString(DTypeSize(dtype) == 1 ? "|" : "<");
  for (int i = 0; i < 3; ++i) writer_.None();
  for (int64_t number : {-1, -1, 0}) writer_.Int(number);
  writer_.TupleFromMark();
  writer_.Build();
}

Status ObjectEncoder::Numpy(const Value& value) {
  const dcp::Tensor& array = value.tensor;
  if (NumpyName(array.dtype).empty()) {
    return Error(Code::kUnsupported, "numpy has no type for torch.{}", DTypeName(array.dtype));
  }
  if (!array.device.is_cpu()) {
    return Error(Code::kUnsupported, "a numpy array cannot be on a device");
  }
  const bool fortran = !array.contiguous() && IsColumnMajor(array.shape, array.strides);
  std::string bytes(static_cast<size_t>(array.num_bytes()), '\0');
  auto* to = reinterpret_cast<std::byte*>(bytes.data());
  if (fortran) {
    std::copy_n(array.data, bytes.size(), to);
  } else {
    GatherElements(array, 0, array.num_elements(), to);
  }
  if (value.kind == ValueKind::kNumpyScalar) {
    Global("numpy._core.multiarray.scalar");
    NumpyType(array.dtype);
    writer_.BytesValue(bytes);
    writer_.Tuple2();
    writer_.Reduce();
    return Status::Ok();
  }
  Global("numpy._core.multiarray._reconstruct");
  Global("numpy.ndarray");
  writer_.Int(0);
  writer_.Tuple1();
  writer_.BytesValue("b");
  writer_.Tuple3();
  writer_.Reduce();
  writer_.Mark();
  writer_.Int(1);
  Dims(array.shape);
  NumpyType(array.dtype);
  writer_.Bool(fortran);
  writer_.BytesValue(bytes);
  writer_.TupleFromMark();
  writer_.Build();
  return Status::Ok();
}

}  // namespace dcp
