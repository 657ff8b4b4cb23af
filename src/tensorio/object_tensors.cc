// Tensors, parameters and storages inside objects.
#include "tensorio/math_bits.h"
#include "tensorio/object_decode.h"

namespace dcp {
namespace {

using pickle::NodeId;
using pickle::NodeKind;

Tensor View(const StridedReference& reference, const Tensor& storage) {
  Tensor view;
  view.dtype = reference.dtype;
  view.shape = reference.shape;
  view.strides = reference.strides;
  view.requires_grad = reference.requires_grad;
  view.owner = storage.owner;
  if (view.num_elements() > 0) {
    view.data = storage.data + reference.storage_offset * DTypeSize(reference.dtype);
  }
  return view;
}

bool IsPlainTensorType(const KnownGlobal* type, bool* parameter) {
  if (type == nullptr) return false;
  *parameter = type->name == "Parameter";
  return *parameter || (type->module == "torch" && type->name == "Tensor");
}

}  // namespace

// Types that are not known yet leave the object opaque; damage is an error.
Result<ValuePtr> ObjectDecoder::NoTensor(const Status& status) {
  if (status.code() == Code::kUnsupported) return Unknown("(" + status.message() + ")");
  return status;
}

Result<ValuePtr> ObjectDecoder::BuildTensor(NodeId callee, NodeId arguments) {
  Result<StridedReference> read = ReadStrided(graph_, DenseRebuild(graph_, callee), arguments);
  if (!read.ok()) return NoTensor(read.status());
  const StridedReference& reference = *read;
  DCP_ASSIGN_OR_RETURN(Tensor storage, storages_.Load(reference.storage));
  Tensor view = View(reference, storage);
  if (!reference.conj && !reference.neg) return Value::Of(std::move(view));
  DCP_RETURN_IF_ERROR(Spend(0, static_cast<uint64_t>(view.num_bytes())));
  DCP_ASSIGN_OR_RETURN(Tensor resolved, Tensor::Allocate(view.dtype, view.shape));
  CopyElements(view, resolved);
  ApplyMathBits(reference.conj, reference.neg, resolved);
  resolved.requires_grad = view.requires_grad;
  return Value::Of(std::move(resolved));
}

// A storage saved for itself: its elements as a tensor of one dimension, the class as its name.
Result<ValuePtr> ObjectDecoder::BuildStorage(NodeId node) {
  Result<StorageReference> read = ReadStorage(graph_, node);
  if (!read.ok()) return NoTensor(read.status());
  const StorageReference& reference = *read;
  DCP_ASSIGN_OR_RETURN(Tensor storage, storages_.Load(reference));
  auto value = std::make_shared<Value>();
  value->kind = ValueKind::kTensor;
  value->name = reference.untyped ? "torch.storage.UntypedStorage"
                                  : "torch." + std::string(reference.storage_class);
  value->tensor = storage;
  value->tensor.dtype = reference.dtype;
  value->tensor.shape = {static_cast<int64_t>(reference.bytes) / DTypeSize(reference.dtype)};
  return ValuePtr(std::move(value));
}

// _rebuild_parameter(data, requires_grad, hooks) and _rebuild_parameter_with_state(..., state).
Result<ValuePtr> ObjectDecoder::BuildParameter(const Call& call, size_t expected) {
  if (call.arguments.size() != expected || graph_.kind(call.arguments[1]) != NodeKind::kBool) {
    return Unknown(call);
  }
  DCP_ASSIGN_OR_RETURN(ValuePtr data, Visit(call.arguments[0]));
  if (data == nullptr) return ValuePtr();
  if (data->kind != ValueKind::kTensor || !data->name.empty() || data->constructed != nullptr) {
    return BuildPlain(call);
  }
  auto value = std::make_shared<Value>(*data);
  value->name = kParameterName;
  value->tensor.requires_grad = graph_.AsBool(call.arguments[1]);
  if (expected == 4) {
    auto constructed = std::make_shared<Constructed>();
    constructed->global = call.global->FullName();
    DCP_ASSIGN_OR_RETURN(constructed->state, Visit(call.arguments[3]));
    if (constructed->state == nullptr) return ValuePtr();
    value->constructed = std::move(constructed);
  }
  return ValuePtr(std::move(value));
}

// (function, type, arguments, state): a tensor with Python attributes, or of a subclass, which is
// understood only when it adds nothing.
Result<ValuePtr> ObjectDecoder::BuildTypedTensor(const Call& call) {
  if (call.arguments.size() != 4 || graph_.kind(call.arguments[1]) != NodeKind::kGlobal) {
    return Unknown(call);
  }
  const NodeId type = call.arguments[1];
  bool parameter = false;
  if (!IsPlainTensorType(FindKnownGlobal(graph_.Module(type), graph_.Name(type)), &parameter)) {
    return Unknown(DescribeNode(graph_, type));
  }
  if (DenseRebuild(graph_, call.arguments[0]) == RebuildKind::kNone) return BuildPlain(call);
  DCP_ASSIGN_OR_RETURN(ValuePtr tensor, BuildTensor(call.arguments[0], call.arguments[2]));
  if (tensor == nullptr) return tensor;
  auto value = std::make_shared<Value>(*tensor);
  if (parameter) value->name = kParameterName;
  auto constructed = std::make_shared<Constructed>();
  constructed->global = kTypedTensorName;
  DCP_ASSIGN_OR_RETURN(constructed->state, Visit(call.arguments[3]));
  if (constructed->state == nullptr) return ValuePtr();
  value->constructed = std::move(constructed);
  return ValuePtr(std::move(value));
}

}  // namespace dcp
