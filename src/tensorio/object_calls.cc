// Calls of the allow-list whose arguments become a value of its own kind at once.
#include "tensorio/latin1.h"
#include "tensorio/numpy_objects.h"
#include "tensorio/object_decode.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::NodeId;
using pickle::NodeKind;
using Arguments = std::span<const NodeId>;

ValuePtr Text(ValueKind kind, std::string text) {
  auto value = std::make_shared<Value>();
  value->kind = kind;
  value->text = std::move(text);
  return value;
}

bool AsDouble(const Graph& graph, NodeId node, double* out) {
  if (graph.kind(node) == NodeKind::kFloat) {
    *out = graph.AsFloat(node);
    return true;
  }
  if (graph.kind(node) != NodeKind::kInt) return false;
  *out = static_cast<double>(graph.AsInt(node));
  return true;
}

ValuePtr ComplexCall(const Graph& graph, Arguments arguments) {
  double parts[2] = {0, 0};
  if (arguments.size() > 2) return nullptr;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!AsDouble(graph, arguments[i], &parts[i])) return nullptr;
  }
  return Value::Complex(parts[0], parts[1]);
}

// bytearray(bytes), or bytearray(str, 'latin-1') by older Pythons.
ValuePtr ByteArrayCall(const Graph& graph, Arguments arguments) {
  std::optional<std::string> bytes;
  if (arguments.empty()) bytes.emplace();
  if (arguments.size() == 1) bytes = ReadBytes(graph, arguments[0]);
  if (arguments.size() == 2 && graph.IsString(arguments[0]) && graph.IsString(arguments[1]) &&
      graph.Text(arguments[1]) == "latin-1") {
    bytes = EncodeLatin1(graph.Text(arguments[0]));
  }
  return bytes ? Text(ValueKind::kByteArray, *std::move(bytes)) : nullptr;
}

ValuePtr SizeCall(const Graph& graph, Arguments arguments) {
  if (arguments.size() != 1) return nullptr;
  const NodeKind kind = graph.kind(arguments[0]);
  if (kind != NodeKind::kTuple && kind != NodeKind::kList) return nullptr;
  Shape sizes;
  for (NodeId item : graph.Items(arguments[0])) {
    if (graph.kind(item) != NodeKind::kInt) return nullptr;
    sizes.push_back(graph.AsInt(item));
  }
  return Value::SizeOf(std::move(sizes));
}

// device('cuda', 0), device('cuda:0') or device('cpu').
ValuePtr DeviceCall(const Graph& graph, Arguments arguments) {
  if (arguments.empty() || arguments.size() > 2 || !graph.IsString(arguments[0])) return nullptr;
  std::string name(graph.Text(arguments[0]));
  if (arguments.size() == 2) {
    if (graph.kind(arguments[1]) != NodeKind::kInt) return nullptr;
    name += ":" + std::to_string(graph.AsInt(arguments[1]));
  }
  return Text(ValueKind::kDevice, std::move(name));
}

ValuePtr LayoutCall(const Graph& graph, Arguments arguments) {
  if (arguments.size() != 1 || !graph.IsString(arguments[0])) return nullptr;
  if (!graph.Text(arguments[0]).starts_with("torch.")) return nullptr;
  return Text(ValueKind::kLayout, std::string(graph.Text(arguments[0])));
}

// Parts up to Python 3.12, the whole path from 3.13 on.
ValuePtr PathCall(const Graph& graph, const KnownGlobal& global, Arguments arguments) {
  const bool windows = global.name.find("Windows") != std::string_view::npos;
  const char separator = windows ? '\\' : '/';
  std::string path;
  for (NodeId argument : arguments) {
    if (!graph.IsString(argument)) return nullptr;
    if (!path.empty() && path.back() != separator) path.push_back(separator);
    path += graph.Text(argument);
  }
  if (path.empty()) path = ".";
  auto value = std::make_shared<Value>();
  value->kind = ValueKind::kPath;
  value->name = global.FullName();
  value->text = std::move(path);
  return value;
}

}  // namespace

ValuePtr ObjectDecoder::SimpleCall(const Call& call) const {
  switch (call.global->form) {
    case GlobalForm::kComplex:
      return ComplexCall(graph_, call.arguments);
    case GlobalForm::kByteArray:
      return ByteArrayCall(graph_, call.arguments);
    case GlobalForm::kBytes:
    case GlobalForm::kEncode: {
      std::optional<std::string> bytes = ReadBytes(graph_, call.node);
      return bytes ? Value::BytesOf(*std::move(bytes)) : nullptr;
    }
    case GlobalForm::kPath:
      return PathCall(graph_, *call.global, call.arguments);
    case GlobalForm::kSize:
      return SizeCall(graph_, call.arguments);
    case GlobalForm::kDevice:
      return DeviceCall(graph_, call.arguments);
    case GlobalForm::kLayout:
      return LayoutCall(graph_, call.arguments);
    default:
      return nullptr;
  }
}

}  // namespace dcp
