#include "tensorio/tensor_graph.h"

#include <span>

#include "base/bytes.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::NodeId;
using pickle::NodeKind;

Result<int64_t> ReadCount(const Graph& graph, NodeId node, std::string_view what) {
  if (graph.kind(node) != NodeKind::kInt || graph.AsInt(node) < 0) {
    return Error(Code::kCorrupt, "{} is {}, not a number of elements", what,
                 DescribeNode(graph, node));
  }
  return graph.AsInt(node);
}

// {'conj': True} or {'neg': True}, which torch appends for lazily conjugated and negated views.
Status ReadMathBits(const Graph& graph, NodeId node, StridedReference* tensor) {
  if (graph.kind(node) == NodeKind::kNone) return Status::Ok();
  if (graph.kind(node) != NodeKind::kDict) {
    return Error(Code::kCorrupt, "the tensor's metadata is {}", DescribeNode(graph, node));
  }
  std::span<const NodeId> pairs = graph.Pairs(node);
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (!graph.IsString(pairs[i]) || graph.kind(pairs[i + 1]) != NodeKind::kBool) continue;
    if (graph.Text(pairs[i]) == "conj") tensor->conj = graph.AsBool(pairs[i + 1]);
    if (graph.Text(pairs[i]) == "neg") tensor->neg = graph.AsBool(pairs[i + 1]);
  }
  const bool complex = tensor->dtype == DType::kComplex32 || tensor->dtype == DType::kComplex64 ||
                       tensor->dtype == DType::kComplex128;
  const bool signed_float = tensor->dtype <= DType::kBFloat16;
  if ((tensor->conj && !complex) || (tensor->neg && !complex && !signed_float)) {
    return Error(Code::kCorrupt, "a {} tensor cannot be lazily conjugated or negated",
                 DTypeName(tensor->dtype));
  }
  return Status::Ok();
}

Status CheckInsideStorage(const StridedReference& tensor) {
  Result<int64_t> extent = StorageExtent(tensor.shape, tensor.strides);
  if (!extent.ok()) return Status(Code::kCorrupt, extent.status().message());
  if (*extent == 0) return Status::Ok();
  int64_t end;
  // Repeated elements may make a tensor larger than its storage, but not than can be counted.
  if (!CheckedMul(*NumElements(tensor.shape), DTypeSize(tensor.dtype), &end)) {
    return Error(Code::kCorrupt, "a {} tensor of shape {} is too large", DTypeName(tensor.dtype),
                 ToString(tensor.shape));
  }
  if (!CheckedAdd(tensor.storage_offset, *extent, &end) ||
      !CheckedMul(end, DTypeSize(tensor.dtype), &end) ||
      static_cast<uint64_t>(end) > tensor.storage.bytes) {
    return Error(Code::kCorrupt,
                 "a {} tensor of shape {}, strides {} and offset {} reaches past its storage of {} "
                 "bytes",
                 DTypeName(tensor.dtype), ToString(tensor.shape), ToString(tensor.strides),
                 tensor.storage_offset, tensor.storage.bytes);
  }
  return Status::Ok();
}

}  // namespace

std::string DescribeNode(const Graph& graph, NodeId node) {
  switch (graph.kind(node)) {
    case NodeKind::kNone:
      return "None";
    case NodeKind::kBool:
      return "a bool";
    case NodeKind::kInt:
      return fmt::format("the integer {}", graph.AsInt(node));
    case NodeKind::kBigInt:
      return "an integer of more than 64 bits";
    case NodeKind::kFloat:
      return "a float";
    case NodeKind::kString:
      return "the string '" + PrintableName(graph.Text(node)) + "'";
    case NodeKind::kBytes:
      return "bytes";
    case NodeKind::kByteArray:
      return "a bytearray";
    case NodeKind::kTuple:
      return "a tuple";
    case NodeKind::kList:
      return "a list";
    case NodeKind::kDict:
      return "a dict";
    case NodeKind::kSet:
      return "a set";
    case NodeKind::kFrozenSet:
      return "a frozenset";
    case NodeKind::kGlobal:
      return PrintableName(std::string(graph.Module(node)) + "." + std::string(graph.Name(node)));
    case NodeKind::kReduce:
    case NodeKind::kNewObject:
      if (graph.kind(graph.Callee(node)) != NodeKind::kGlobal) return "an object";
      return "an object made by " + DescribeNode(graph, graph.Callee(node));
    case NodeKind::kPersistentId:
      return "a storage";
  }
  return "an unknown object";
}

RebuildKind DenseRebuild(const Graph& graph, NodeId callee) {
  if (graph.kind(callee) != NodeKind::kGlobal || graph.Module(callee) != "torch._utils") {
    return RebuildKind::kNone;
  }
  std::string_view name = graph.Name(callee);
  if (name == "_rebuild_tensor_v2") return RebuildKind::kTensorV2;
  if (name == "_rebuild_tensor_v3") return RebuildKind::kTensorV3;
  if (name == "_rebuild_tensor") return RebuildKind::kTensor;
  return RebuildKind::kNone;
}

Result<Shape> ReadShape(const Graph& graph, NodeId node) {
  if (graph.kind(node) == NodeKind::kReduce &&
      graph.IsGlobal(graph.Callee(node), "torch", "Size") &&
      graph.kind(graph.Arguments(node)) == NodeKind::kTuple) {
    std::span<const NodeId> arguments = graph.Items(graph.Arguments(node));
    if (arguments.size() == 1) node = arguments[0];
  }
  if (graph.kind(node) != NodeKind::kTuple && graph.kind(node) != NodeKind::kList) {
    return Error(Code::kCorrupt, "a tensor's size or stride is {}", DescribeNode(graph, node));
  }
  std::span<const NodeId> items = graph.Items(node);
  if (items.size() > size_t{kMaxDims}) {
    return Error(Code::kUnsupported, "a tensor of {} dimensions; at most {} are supported",
                 items.size(), kMaxDims);
  }
  Shape shape;
  shape.reserve(items.size());
  for (NodeId item : items) {
    DCP_ASSIGN_OR_RETURN(int64_t size, ReadCount(graph, item, "a tensor's size or stride"));
    shape.push_back(size);
  }
  return shape;
}

Result<DType> ReadDType(const Graph& graph, NodeId node) {
  if (graph.kind(node) == NodeKind::kGlobal && graph.Module(node) == "torch") {
    std::string_view name = graph.Name(node);
    if (std::optional<DType> dtype = DTypeFromName(name); dtype && DTypeName(*dtype) == name) {
      return *dtype;
    }
  }
  return Error(Code::kUnsupported, "unknown dtype: {}", DescribeNode(graph, node));
}

Result<StorageReference> ReadStorage(const Graph& graph, NodeId node) {
  if (graph.kind(node) == NodeKind::kPersistentId && graph.IsString(graph.Arguments(node))) {
    return Error(Code::kUnsupported,
                 "storages are named by text, as protocol 0 does; torch cannot load them either");
  }
  if (graph.kind(node) != NodeKind::kPersistentId ||
      graph.kind(graph.Arguments(node)) != NodeKind::kTuple) {
    return Error(Code::kCorrupt, "a tensor's storage is {}", DescribeNode(graph, node));
  }
  // Old writers add a sixth element, the view of a storage on another; it is None in a zip.
  std::span<const NodeId> items = graph.Items(graph.Arguments(node));
  if (items.size() < 5 || items.size() > 6 || !graph.IsString(items[0]) ||
      graph.Text(items[0]) != "storage" || graph.kind(items[1]) != NodeKind::kGlobal ||
      !graph.IsString(items[2])) {
    return Error(Code::kCorrupt, "a storage's reference is not ('storage', class, key, ...)");
  }
  StorageReference storage;
  storage.key = graph.Text(items[2]);
  storage.storage_class = graph.Name(items[1]);
  if (storage.key.empty() || storage.key.find('/') != std::string_view::npos ||
      storage.key[0] == '.') {
    return Error(Code::kCorrupt, "a storage is called '{}'", PrintableName(storage.key));
  }
  if (storage.storage_class == "UntypedStorage") {
    storage.untyped = true;
  } else if (std::optional<DType> dtype = DTypeFromStorageClass(storage.storage_class)) {
    storage.dtype = *dtype;
  } else {
    return Error(Code::kUnsupported, "unknown storage class {}", DescribeNode(graph, items[1]));
  }
  DCP_ASSIGN_OR_RETURN(int64_t count, ReadCount(graph, items[4], "a storage's length"));
  int64_t bytes;
  if (!CheckedMul(count, DTypeSize(storage.dtype), &bytes)) {
    return Error(Code::kCorrupt, "storage '{}' claims {} elements", PrintableName(storage.key),
                 count);
  }
  storage.bytes = static_cast<uint64_t>(bytes);
  return storage;
}

Result<StridedReference> ReadStrided(const Graph& graph, RebuildKind kind, NodeId arguments) {
  std::span<const NodeId> items;
  if (graph.kind(arguments) == NodeKind::kTuple) items = graph.Items(arguments);
  // storage, offset, size, stride[, requires_grad, hooks[, dtype][, metadata]]
  const bool v3 = kind == RebuildKind::kTensorV3;
  const size_t least = kind == RebuildKind::kTensor ? 4 : v3 ? 7 : 6;
  const size_t most = kind == RebuildKind::kTensor ? 4 : least + 1;
  if (items.size() < least || items.size() > most) {
    return Error(Code::kCorrupt, "a tensor is rebuilt from {} arguments", items.size());
  }
  StridedReference tensor;
  DCP_ASSIGN_OR_RETURN(tensor.storage, ReadStorage(graph, items[0]));
  tensor.dtype = tensor.storage.dtype;
  if (v3) {
    DCP_ASSIGN_OR_RETURN(tensor.dtype, ReadDType(graph, items[6]));
  }
  DCP_ASSIGN_OR_RETURN(tensor.storage_offset, ReadCount(graph, items[1], "a storage offset"));
  DCP_ASSIGN_OR_RETURN(tensor.shape, ReadShape(graph, items[2]));
  DCP_ASSIGN_OR_RETURN(tensor.strides, ReadShape(graph, items[3]));
  if (tensor.shape.size() != tensor.strides.size()) {
    return Error(Code::kCorrupt, "shape {} has strides {}", ToString(tensor.shape),
                 ToString(tensor.strides));
  }
  if (items.size() > 4 && graph.kind(items[4]) == NodeKind::kBool) {
    tensor.requires_grad = graph.AsBool(items[4]);
  }
  if (items.size() > least && least > 4) {
    DCP_RETURN_IF_ERROR(ReadMathBits(graph, items[least], &tensor));
  }
  DCP_RETURN_IF_ERROR(CheckInsideStorage(tensor));
  return tensor;
}

}  // namespace dcp
