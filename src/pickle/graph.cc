#include "pickle/graph.h"

#include <new>
#include <utility>

#include "pickle/arena.h"
#include "pickle/machine.h"

namespace dcp::pickle {

struct Graph::Rep : Arena {};

namespace {

std::span<const NodeId> RunItems(const Arena& arena, const Run& run) {
  return {arena.links.data() + run.begin, run.size};
}

// Of a container.
std::span<const NodeId> Children(const Arena& arena, const Node& node) {
  if (!node.plain()) return RunItems(arena, arena.runs[node.payload]);
  const uint32_t count = node.rest();
  return {count <= 1 ? &node.payload : arena.links.data() + node.payload, count};
}

}  // namespace

Graph::Graph(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

NodeId Graph::root() const { return rep_->root; }
size_t Graph::consumed() const { return rep_->consumed; }
size_t Graph::node_count() const { return rep_->nodes.size(); }

NodeKind Graph::kind(NodeId node) const {
  if (IsImmediate(node)) return node == kNoNode ? NodeKind::kNone : NodeKind::kInt;
  return rep_->nodes[node].kind();
}

bool Graph::AsBool(NodeId node) const {
  return kind(node) == NodeKind::kBool && rep_->nodes[node].payload != 0;
}

int64_t Graph::AsInt(NodeId node) const {
  if (kind(node) != NodeKind::kInt) return 0;
  if (IsImmediate(node)) return static_cast<int64_t>(node - kImmediate);
  const Node& at = rep_->nodes[node];
  if (!at.plain()) return rep_->integers[at.payload];
  const uint64_t bits = uint64_t{at.rest()} << 32 | at.payload;
  return static_cast<int64_t>(bits << 6) >> 6;
}

double Graph::AsFloat(NodeId node) const {
  return kind(node) == NodeKind::kFloat ? rep_->floats[rep_->nodes[node].payload] : 0;
}

std::string_view Graph::Text(NodeId node) const {
  return IsText(kind(node)) ? TextOf(*rep_, rep_->nodes[node]) : std::string_view();
}

std::string_view Graph::Module(NodeId node) const {
  if (kind(node) != NodeKind::kGlobal) return {};
  return Text(rep_->links[rep_->nodes[node].payload]);
}

std::string_view Graph::Name(NodeId node) const {
  if (kind(node) != NodeKind::kGlobal) return {};
  return Text(rep_->links[rep_->nodes[node].payload + size_t{1}]);
}

std::span<const NodeId> Graph::Items(NodeId node) const {
  switch (kind(node)) {
    case NodeKind::kTuple:
    case NodeKind::kList:
    case NodeKind::kSet:
    case NodeKind::kFrozenSet:
      return Children(*rep_, rep_->nodes[node]);
    case NodeKind::kReduce:
    case NodeKind::kNewObject: {
      const Node& at = rep_->nodes[node];
      if (at.plain()) return {};
      return RunItems(*rep_, rep_->objects[at.payload].items);
    }
    default:
      return {};
  }
}

std::span<const NodeId> Graph::Pairs(NodeId node) const {
  switch (kind(node)) {
    case NodeKind::kDict:
      return Children(*rep_, rep_->nodes[node]);
    case NodeKind::kReduce:
    case NodeKind::kNewObject: {
      const Node& at = rep_->nodes[node];
      if (at.plain()) return {};
      return RunItems(*rep_, rep_->objects[at.payload].pairs);
    }
    default:
      return {};
  }
}

NodeId Graph::Callee(NodeId node) const {
  const NodeKind what = kind(node);
  if (what != NodeKind::kReduce && what != NodeKind::kNewObject) return kNoNode;
  const Node& at = rep_->nodes[node];
  if (!at.plain()) return rep_->objects[at.payload].callee;
  return what == NodeKind::kNewObject ? at.rest() & ~kFoldedBit : at.rest();
}

NodeId Graph::Arguments(NodeId node) const {
  const NodeKind what = kind(node);
  if (what == NodeKind::kPersistentId) return rep_->nodes[node].payload;
  if (what != NodeKind::kReduce && what != NodeKind::kNewObject) return kNoNode;
  const Node& at = rep_->nodes[node];
  if (!at.plain()) return rep_->objects[at.payload].arguments;
  return what == NodeKind::kReduce ? at.payload : kEmptyTupleNode;
}

NodeId Graph::Keywords(NodeId node) const {
  if (kind(node) != NodeKind::kNewObject) return kNoNode;
  const Node& at = rep_->nodes[node];
  return at.plain() ? kNoNode : rep_->objects[at.payload].keywords;
}

NodeId Graph::State(NodeId node) const {
  const NodeKind what = kind(node);
  if (what != NodeKind::kReduce && what != NodeKind::kNewObject) return kNoNode;
  const Node& at = rep_->nodes[node];
  if (!at.plain()) return rep_->objects[at.payload].state;
  return what == NodeKind::kNewObject && !IsFolded(at) ? at.payload : kNoNode;
}

std::optional<uint32_t> Graph::Folded(NodeId node) const {
  if (IsImmediate(node) || !IsFolded(rep_->nodes[node])) return std::nullopt;
  return rep_->nodes[node].payload;
}

bool Graph::IsGlobal(NodeId node, std::string_view module, std::string_view name) const {
  return kind(node) == NodeKind::kGlobal && Name(node) == name && Module(node) == module;
}

Result<Graph> Parse(Bytes input, const Limits& limits, Folder* folder) {
  try {
    Graph graph(std::make_unique<Graph::Rep>());
    graph.rep_->input = input;
    DCP_RETURN_IF_ERROR(RunMachine(limits, folder, graph, graph.rep_.get()));
    return graph;
  } catch (const std::bad_alloc&) {
    return Status(Code::kOutOfMemory, "no memory left for the pickle's graph");
  }
}

}  // namespace dcp::pickle
