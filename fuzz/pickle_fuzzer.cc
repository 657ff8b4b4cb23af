// Parses the input as a pickle and reads everything the graph holds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "pickle/graph.h"

namespace {

using dcp::pickle::Graph;
using dcp::pickle::kNoNode;
using dcp::pickle::NodeId;

size_t Touch(std::string_view text) {
  size_t sum = text.size();
  for (char c : text) sum += static_cast<uint8_t>(c);
  return sum;
}

size_t Walk(const Graph& graph) {
  std::vector<NodeId> pending = {graph.root()};
  std::vector<bool> seen(graph.node_count());
  size_t sum = 0;
  while (!pending.empty()) {
    const NodeId node = pending.back();
    pending.pop_back();
    if (node == kNoNode) continue;
    sum += static_cast<size_t>(graph.AsInt(node));
    if (node < seen.size()) {
      if (seen[node]) continue;
      seen[node] = true;
    }
    sum += Touch(graph.Text(node)) + Touch(graph.Module(node)) + Touch(graph.Name(node));
    sum += graph.AsBool(node) ? 1 : 0;
    sum += graph.AsFloat(node) > 0 ? 1 : 0;
    sum += graph.IsGlobal(node, "torch", "Size") ? 1 : 0;
    for (NodeId child : graph.Items(node)) pending.push_back(child);
    for (NodeId child : graph.Pairs(node)) pending.push_back(child);
    for (NodeId child :
         {graph.Callee(node), graph.Arguments(node), graph.Keywords(node), graph.State(node)}) {
      pending.push_back(child);
    }
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const dcp::Result<Graph> graph = dcp::pickle::Parse(dcp::AsBytes(data, size));
  if (!graph.ok()) {
    if (graph.status().message().empty()) std::abort();
    return 0;
  }
  if (graph->consumed() > size) std::abort();
  // A node is paid for by an opcode; see Limits::max_nodes.
  if (graph->node_count() > 4 * size + 4096) std::abort();
  [[maybe_unused]] static volatile size_t sink;
  sink = Walk(*graph);
  return 0;
}
