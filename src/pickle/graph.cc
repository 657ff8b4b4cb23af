#include "pickle/graph.h"

#include <new>

#include "pickle/machine.h"

namespace dcp::pickle {

int64_t Graph::WideInt(NodeId node) const {
  if (kind(node) != NodeKind::kInt) return 0;
  const Node& at = arena_->nodes[node];
  if (!at.plain()) return arena_->integers[at.payload];
  const uint64_t bits = uint64_t{at.rest()} << 32 | at.payload;
  return static_cast<int64_t>(bits << 6) >> 6;
}

double Graph::AsFloat(NodeId node) const {
  return kind(node) == NodeKind::kFloat ? arena_->floats[arena_->nodes[node].payload] : 0;
}

std::string_view Graph::Module(NodeId node) const {
  if (kind(node) != NodeKind::kGlobal) return {};
  return Text(arena_->links[arena_->nodes[node].payload]);
}

std::string_view Graph::Name(NodeId node) const {
  if (kind(node) != NodeKind::kGlobal) return {};
  return Text(arena_->links[arena_->nodes[node].payload + size_t{1}]);
}

std::span<const NodeId> Graph::OtherItems(NodeId node) const {
  switch (kind(node)) {
    case NodeKind::kSet:
    case NodeKind::kFrozenSet:
      return Children(arena_->nodes[node]);
    case NodeKind::kReduce:
    case NodeKind::kNewObject: {
      const Node& at = arena_->nodes[node];
      if (at.plain()) return {};
      return RunItems(arena_->objects[at.payload].items);
    }
    default:
      return {};
  }
}

std::span<const NodeId> Graph::Pairs(NodeId node) const {
  switch (kind(node)) {
    case NodeKind::kDict:
      return Children(arena_->nodes[node]);
    case NodeKind::kReduce:
    case NodeKind::kNewObject: {
      const Node& at = arena_->nodes[node];
      if (at.plain()) return {};
      return RunItems(arena_->objects[at.payload].pairs);
    }
    default:
      return {};
  }
}

NodeId Graph::OtherArguments(NodeId node) const {
  const NodeKind what = kind(node);
  if (what == NodeKind::kPersistentId) return arena_->nodes[node].payload;
  if (what != NodeKind::kReduce && what != NodeKind::kNewObject) return kNoNode;
  const Node& at = arena_->nodes[node];
  return at.plain() ? kEmptyTupleNode : arena_->objects[at.payload].arguments;
}

NodeId Graph::Keywords(NodeId node) const {
  if (kind(node) != NodeKind::kNewObject) return kNoNode;
  const Node& at = arena_->nodes[node];
  return at.plain() ? kNoNode : arena_->objects[at.payload].keywords;
}

NodeId Graph::State(NodeId node) const {
  const NodeKind what = kind(node);
  if (what != NodeKind::kReduce && what != NodeKind::kNewObject) return kNoNode;
  const Node& at = arena_->nodes[node];
  if (!at.plain()) return arena_->objects[at.payload].state;
  return what == NodeKind::kNewObject && !IsFolded(at) ? at.payload : kNoNode;
}

bool Graph::IsGlobal(NodeId node, std::string_view module, std::string_view name) const {
  return kind(node) == NodeKind::kGlobal && Name(node) == name && Module(node) == module;
}

Result<Graph> Parse(Bytes input, const Limits& limits, Folder* folder) {
  Input whole(input);
  return Parse(whole, limits, folder);
}

Result<Graph> Parse(Input& input, const Limits& limits, Folder* folder) {
  try {
    Graph graph(std::make_unique<Arena>());
    graph.arena_->input = input.bytes();
    DCP_RETURN_IF_ERROR(RunMachine(input, limits, folder, graph, graph.arena_.get()));
    return graph;
  } catch (const std::bad_alloc&) {
    return Status(Code::kOutOfMemory, "no memory left for the pickle's graph");
  }
}

}  // namespace dcp::pickle
