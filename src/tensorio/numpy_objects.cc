#include "tensorio/numpy_objects.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "tensorio/latin1.h"
#include "tensorio/tensor_graph.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::NodeId;
using pickle::NodeKind;

struct Name {
  std::string_view numpy;
  DType dtype;
};
constexpr Name kNames[] = {
    {"b1", DType::kBool},      {"i1", DType::kInt8},        {"i2", DType::kInt16},
    {"i4", DType::kInt32},     {"i8", DType::kInt64},       {"u1", DType::kUInt8},
    {"u2", DType::kUInt16},    {"u4", DType::kUInt32},      {"u8", DType::kUInt64},
    {"f2", DType::kFloat16},   {"f4", DType::kFloat32},     {"f8", DType::kFloat64},
    {"c8", DType::kComplex64}, {"c16", DType::kComplex128},
};

std::span<const NodeId> TupleItems(const Graph& graph, NodeId node) {
  if (node == pickle::kNoNode || graph.kind(node) != NodeKind::kTuple) return {};
  return graph.Items(node);
}

// numpy.dtype('f4', False, True) with state (3, '<', None, None, None, -1, -1, 0).
std::optional<DType> ReadNumpyType(const Graph& graph, NodeId node) {
  if (graph.kind(node) != NodeKind::kReduce ||
      !graph.IsGlobal(graph.Callee(node), "numpy", "dtype")) {
    return std::nullopt;
  }
  std::span<const NodeId> arguments = TupleItems(graph, graph.Arguments(node));
  if (arguments.empty() || !graph.IsString(arguments[0])) return std::nullopt;
  std::optional<DType> dtype = DTypeFromNumpy(graph.Text(arguments[0]));
  if (!dtype || graph.State(node) == pickle::kNoNode) return dtype;
  std::span<const NodeId> state = TupleItems(graph, graph.State(node));
  if (state.size() < 5 || !graph.IsString(state[1])) return std::nullopt;
  std::string_view order = graph.Text(state[1]);
  if (order == ">" && DTypeSize(*dtype) > 1) return std::nullopt;
  for (int i : {2, 3, 4}) {  // sub-array, field names, fields
    if (graph.kind(state[i]) != NodeKind::kNone) return std::nullopt;
  }
  return dtype;
}

Shape ColumnMajorStrides(const Shape& shape) {
  Shape reversed = shape;
  std::reverse(reversed.begin(), reversed.end());
  Shape strides = ContiguousStrides(reversed);
  std::reverse(strides.begin(), strides.end());
  return strides;
}

Result<std::optional<Tensor>> Make(DType dtype, const Shape& shape, bool fortran,
                                   std::string_view bytes) {
  Result<int64_t> count = NumElements(shape);
  int64_t size;
  if (!count.ok() || !CheckedMul(*count, DTypeSize(dtype), &size) ||
      static_cast<uint64_t>(size) != bytes.size()) {
    return Error(Code::kCorrupt, "a numpy array of shape {} and type {} has {} bytes",
                 ToString(shape), DTypeName(dtype), bytes.size());
  }
  DCP_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(dtype, shape));
  if (!bytes.empty()) std::memcpy(tensor.data, bytes.data(), bytes.size());
  if (fortran) tensor.strides = ColumnMajorStrides(shape);
  return std::optional<Tensor>(std::move(tensor));
}

}  // namespace

std::optional<DType> DTypeFromNumpy(std::string_view name) {
  for (const Name& known : kNames) {
    if (known.numpy == name) return known.dtype;
  }
  return std::nullopt;
}

std::string_view NumpyName(DType dtype) {
  for (const Name& known : kNames) {
    if (known.dtype == dtype) return known.numpy;
  }
  return {};
}

std::optional<std::string> ReadBytes(const Graph& graph, NodeId node) {
  switch (graph.kind(node)) {
    case NodeKind::kBytes:
    case NodeKind::kByteArray:
      return std::string(graph.Text(node));
    case NodeKind::kReduce:
      break;
    default:
      return std::nullopt;
  }
  std::span<const NodeId> arguments = TupleItems(graph, graph.Arguments(node));
  if (graph.IsGlobal(graph.Callee(node), "_codecs", "encode")) {
    if (arguments.size() != 2 || !graph.IsString(arguments[0]) || !graph.IsString(arguments[1])) {
      return std::nullopt;
    }
    std::string_view codec = graph.Text(arguments[1]);
    if (codec != "latin1" && codec != "latin-1") return std::nullopt;
    return EncodeLatin1(graph.Text(arguments[0]));
  }
  const bool bytes = graph.IsGlobal(graph.Callee(node), "__builtin__", "bytes") ||
                     graph.IsGlobal(graph.Callee(node), "builtins", "bytes");
  if (bytes && arguments.empty()) return std::string();
  return std::nullopt;
}

Result<std::optional<Tensor>> ReadNumpyArray(const Graph& graph, NodeId node) {
  std::optional<Tensor> none;
  std::span<const NodeId> arguments = TupleItems(graph, graph.Arguments(node));
  std::span<const NodeId> state = TupleItems(graph, graph.State(node));
  if (arguments.empty() || !graph.IsGlobal(arguments[0], "numpy", "ndarray")) return none;
  if (state.size() != 5 || graph.kind(state[3]) != NodeKind::kBool) return none;
  std::optional<DType> dtype = ReadNumpyType(graph, state[2]);
  std::optional<std::string> bytes = ReadBytes(graph, state[4]);
  if (!dtype || !bytes) return none;
  DCP_ASSIGN_OR_RETURN(Shape shape, ReadShape(graph, state[1]));
  return Make(*dtype, shape, graph.AsBool(state[3]), *bytes);
}

Result<std::optional<Tensor>> ReadNumpyScalar(const Graph& graph, NodeId node) {
  std::optional<Tensor> none;
  std::span<const NodeId> arguments = TupleItems(graph, graph.Arguments(node));
  if (arguments.size() != 2) return none;
  std::optional<DType> dtype = ReadNumpyType(graph, arguments[0]);
  std::optional<std::string> bytes = ReadBytes(graph, arguments[1]);
  if (!dtype || !bytes) return none;
  return Make(*dtype, {}, false, *bytes);
}

Result<std::optional<Tensor>> ReadNumpyBuffer(const Graph& graph, NodeId node) {
  std::optional<Tensor> none;
  std::span<const NodeId> arguments = TupleItems(graph, graph.Arguments(node));
  if (arguments.size() != 4 || !graph.IsString(arguments[3])) return none;
  std::optional<std::string> bytes = ReadBytes(graph, arguments[0]);
  std::optional<DType> dtype = ReadNumpyType(graph, arguments[1]);
  std::string_view order = graph.Text(arguments[3]);
  if (!dtype || !bytes || (order != "C" && order != "F")) return none;
  DCP_ASSIGN_OR_RETURN(Shape shape, ReadShape(graph, arguments[2]));
  return Make(*dtype, shape, order == "F", *bytes);
}

}  // namespace dcp
