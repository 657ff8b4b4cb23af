// A graph as text, to compare with what Python holds.
#ifndef DCP_TESTS_UNIT_PICKLE_GRAPH_TEXT_H_
#define DCP_TESTS_UNIT_PICKLE_GRAPH_TEXT_H_

#include <bit>
#include <string>

#include "pickle/graph.h"

namespace dcp::pickle {

inline std::string ToHex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += fmt::format("{:02x}", static_cast<uint8_t>(c));
  return out;
}

inline std::string FromHex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

inline std::string GraphText(const Graph& graph, NodeId node, int depth = 0) {
  if (depth > 8) return "...";
  auto list = [&](std::span<const NodeId> items) {
    std::string out;
    for (NodeId item : items) {
      if (!out.empty()) out += ", ";
      out += GraphText(graph, item, depth + 1);
    }
    return out;
  };
  auto pairs = [&](std::span<const NodeId> both) {
    std::string out;
    for (size_t i = 0; i + 1 < both.size(); i += 2) {
      if (i > 0) out += ", ";
      out += GraphText(graph, both[i], depth + 1) + ": " + GraphText(graph, both[i + 1], depth + 1);
    }
    return out;
  };
  switch (graph.kind(node)) {
    case NodeKind::kNone:
      return "None";
    case NodeKind::kBool:
      return graph.AsBool(node) ? "True" : "False";
    case NodeKind::kInt:
      return std::to_string(graph.AsInt(node));
    case NodeKind::kBigInt:
      return "big:" + ToHex(graph.Text(node));
    case NodeKind::kFloat:
      return fmt::format("float:{:016x}", std::bit_cast<uint64_t>(graph.AsFloat(node)));
    case NodeKind::kString:
      return "'" + ToHex(graph.Text(node)) + "'";
    case NodeKind::kBytes:
      return "b:" + ToHex(graph.Text(node));
    case NodeKind::kByteArray:
      return "ba:" + ToHex(graph.Text(node));
    case NodeKind::kTuple:
      return "(" + list(graph.Items(node)) + ")";
    case NodeKind::kList:
      return "[" + list(graph.Items(node)) + "]";
    case NodeKind::kDict:
      return "{" + pairs(graph.Pairs(node)) + "}";
    case NodeKind::kSet:
      return "set(" + list(graph.Items(node)) + ")";
    case NodeKind::kFrozenSet:
      return "frozenset(" + list(graph.Items(node)) + ")";
    case NodeKind::kGlobal:
      return "@" + std::string(graph.Module(node)) + ":" + std::string(graph.Name(node));
    case NodeKind::kPersistentId:
      return "pid<" + GraphText(graph, graph.Arguments(node), depth + 1) + ">";
    case NodeKind::kReduce:
    case NodeKind::kNewObject:
      break;
  }
  std::string out = graph.kind(node) == NodeKind::kReduce ? "call<" : "new<";
  out += GraphText(graph, graph.Callee(node), depth + 1);
  out += GraphText(graph, graph.Arguments(node), depth + 1);
  if (graph.Keywords(node) != kNoNode) {
    out += " keywords=" + GraphText(graph, graph.Keywords(node), depth + 1);
  }
  if (graph.State(node) != kNoNode) {
    out += " state=" + GraphText(graph, graph.State(node), depth + 1);
  }
  if (!graph.Items(node).empty()) out += " items=[" + list(graph.Items(node)) + "]";
  if (!graph.Pairs(node).empty()) out += " pairs={" + pairs(graph.Pairs(node)) + "}";
  return out + ">";
}

// The graph of a pickle, or the error that came instead.
inline std::string ParseText(std::string_view pickle, const Limits& limits = Limits()) {
  Result<Graph> graph = Parse(AsBytes(pickle), limits);
  return graph.ok() ? GraphText(*graph, graph->root()) : graph.status().ToString();
}

}  // namespace dcp::pickle

#endif  // DCP_TESTS_UNIT_PICKLE_GRAPH_TEXT_H_
