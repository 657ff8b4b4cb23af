#include "metadata/objects.h"

#include <fmt/format.h>

#include "value/names.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;

bool IsCopyregFunction(const Graph& graph, NodeId callee, std::string_view name) {
  return graph.IsGlobal(callee, "copyreg", name) || graph.IsGlobal(callee, "copy_reg", name);
}

// The classes read here have fewer than ten fields; a longer dict is not searched, since many
// instances may share it.
constexpr size_t kMaxFields = 256;

NodeId LastOf(std::span<const NodeId> pairs, const Graph& graph, std::string_view name) {
  if (pairs.size() > 2 * kMaxFields) return kNoNode;
  for (size_t i = pairs.size(); i >= 2; i -= 2) {
    NodeId key = pairs[i - 2];
    if (graph.IsString(key) && graph.Text(key) == name) return pairs[i - 1];
  }
  return kNoNode;
}

}  // namespace

ObjectView ViewObject(const Graph& graph, NodeId node) {
  NodeKind kind = graph.kind(node);
  if (kind != NodeKind::kReduce && kind != NodeKind::kNewObject) return {};
  NodeId callee = graph.Callee(node);
  if (graph.kind(callee) != NodeKind::kGlobal) return {};
  NodeId tuple = graph.Arguments(node);
  std::span<const NodeId> arguments;
  if (graph.kind(tuple) == NodeKind::kTuple) arguments = graph.Items(tuple);
  if (kind == NodeKind::kReduce && !arguments.empty() &&
      graph.kind(arguments[0]) == NodeKind::kGlobal) {
    if (arguments.size() == 3 && IsCopyregFunction(graph, callee, "_reconstructor")) {
      return {arguments[0], {}, graph.State(node)};
    }
    if (IsCopyregFunction(graph, callee, "__newobj__")) {
      return {arguments[0], arguments.subspan(1), graph.State(node)};
    }
  }
  return {callee, arguments, graph.State(node)};
}

bool IsInstance(const Graph& graph, const ObjectView& object, std::string_view name) {
  return object && graph.Name(object.type) == name;
}

NodeId Field(const Graph& graph, const ObjectView& object, std::string_view name) {
  if (!object || object.state == kNoNode) return kNoNode;
  NodeKind kind = graph.kind(object.state);
  if (kind == NodeKind::kDict) return LastOf(graph.Pairs(object.state), graph, name);
  if (kind != NodeKind::kTuple) return kNoNode;
  std::span<const NodeId> parts = graph.Items(object.state);
  if (parts.size() != 2) return kNoNode;
  for (size_t i = parts.size(); i-- > 0;) {
    if (graph.kind(parts[i]) != NodeKind::kDict) continue;
    NodeId found = LastOf(graph.Pairs(parts[i]), graph, name);
    if (found != kNoNode) return found;
  }
  return kNoNode;
}

MappingView ViewMapping(const Graph& graph, NodeId node) {
  if (node == kNoNode) return {};
  if (graph.kind(node) == NodeKind::kDict) return {true, graph.Pairs(node)};
  ObjectView object = ViewObject(graph, node);
  if (object && graph.Module(object.type) == "collections" &&
      (graph.Name(object.type) == "OrderedDict" || graph.Name(object.type) == "defaultdict")) {
    return {true, graph.Pairs(node)};
  }
  return {};
}

bool IsNone(const Graph& graph, NodeId node) {
  return node == kNoNode || graph.kind(node) == NodeKind::kNone;
}

bool IsSequence(const Graph& graph, NodeId node) {
  if (node == kNoNode) return false;
  NodeKind kind = graph.kind(node);
  return kind == NodeKind::kTuple || kind == NodeKind::kList;
}

std::string Describe(const Graph& graph, NodeId node) {
  if (node == kNoNode) return "nothing";
  switch (graph.kind(node)) {
    case NodeKind::kNone:
      return "None";
    case NodeKind::kBool:
      return "a bool";
    case NodeKind::kInt:
    case NodeKind::kBigInt:
      return "an integer";
    case NodeKind::kFloat:
      return "a float";
    case NodeKind::kString:
      return "a string";
    case NodeKind::kBytes:
    case NodeKind::kByteArray:
      return "bytes";
    case NodeKind::kTuple:
      return "a tuple";
    case NodeKind::kList:
      return "a list";
    case NodeKind::kDict:
      return "a dict";
    case NodeKind::kSet:
    case NodeKind::kFrozenSet:
      return "a set";
    case NodeKind::kGlobal:
      return fmt::format("{}.{}", PrintableName(graph.Module(node)),
                         PrintableName(graph.Name(node)));
    case NodeKind::kReduce:
    case NodeKind::kNewObject: {
      ObjectView object = ViewObject(graph, node);
      if (!object) return "an object";
      return fmt::format("{}.{}(...)", PrintableName(graph.Module(object.type)),
                         PrintableName(graph.Name(object.type)));
    }
    case NodeKind::kPersistentId:
      return "a persistent id";
  }
  return "unknown";
}

}  // namespace dcp
