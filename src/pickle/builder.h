// Adds nodes to an arena, choosing the smallest form for each.
#ifndef DCP_PICKLE_BUILDER_H_
#define DCP_PICKLE_BUILDER_H_

#include <string>

#include "pickle/graph.h"

namespace dcp::pickle {

// Functions that return false do so when the arena's 32-bit indices are used up. All throw
// std::bad_alloc.
class Builder {
 public:
  explicit Builder(Arena* arena);

  // Nodes and links so far.
  size_t used() const { return arena_.nodes.size() + arena_.links.size(); }
  NodeKind kind(NodeId node) const {
    return IsImmediate(node) ? NodeKind::kInt : arena_.nodes[node].kind();
  }

  NodeId Int(int64_t value) {
    if (value >= 0 && value < int64_t{kImmediateEnd}) {
      return kImmediate | static_cast<NodeId>(value);
    }
    return WideInt(value);
  }
  NodeId Float(double value);
  // kString, kBytes, kByteArray or kBigInt, lying at `offset` in the input.
  NodeId Text(NodeKind kind, uint64_t offset, uint64_t length) {
    if (length >> kTextLengthBits == 0 && offset < kTextOffsetEnd) {
      return Add(TextNode(kind, offset, length));
    }
    return LongText(kind, offset, length);
  }
  NodeId OwnedText(NodeKind kind, std::string text);
  NodeId Global(NodeId module, NodeId name);
  NodeId PersistentId(NodeId operand) {
    return Add(PlainNode(NodeKind::kPersistentId, 0, operand));
  }
  // `arguments` is a tuple.
  NodeId Reduce(NodeId callee, NodeId arguments);
  NodeId NewObject(NodeId callee, NodeId arguments, NodeId keywords);
  // Of 1 to 3 items.
  NodeId SmallTuple(const NodeId* items, size_t count) {
    if (count == 1) return Add(PlainNode(NodeKind::kTuple, 1, items[0]));
    const auto begin = static_cast<uint32_t>(arena_.links.size());
    NodeId* links = arena_.links.Extend(count);
    for (size_t i = 0; i < count; ++i) links[i] = items[i];
    return Add(PlainNode(NodeKind::kTuple, static_cast<uint32_t>(count), begin));
  }
  bool Container(NodeKind kind, const NodeId* children, size_t count, NodeId* out);

  // Adds to a container or to what was called: items, or pairs (keys and values in turn). A folded
  // object takes them and forgets them.
  bool AddItems(NodeId target, const NodeId* items, size_t count);
  bool AddPairs(NodeId target, const NodeId* pairs, size_t count);
  // False when the object has a state already. `target` is kReduce or kNewObject.
  bool SetState(NodeId target, NodeId state);
  // Makes a new instance without arguments, state, items and pairs a folded one. False for others.
  bool SetFolded(NodeId target, uint32_t row);

  size_t node_count() const { return arena_.nodes.size(); }
  size_t link_count() const { return arena_.links.size(); }
  // Drops the nodes and links from these on, which nothing refers to any more.
  void Truncate(size_t nodes, size_t links);
  // Copies the texts that lie in the input, so that it may be given back up to the end of the last
  // of them.
  void KeepTexts();

 private:
  NodeId Add(Node node) {
    arena_.nodes.push_back(node);
    return static_cast<NodeId>(arena_.nodes.size() - 1);
  }
  NodeId WideInt(int64_t value);
  NodeId LongText(NodeKind kind, uint64_t offset, uint64_t length);
  NodeId AddRecord(NodeKind kind, const ObjectRecord& record);
  ObjectRecord& Record(NodeId object);
  bool ExtendRun(Run* run, const NodeId* links, size_t count);
  bool IsFolded(NodeId node) const {
    return !IsImmediate(node) && pickle::IsFolded(arena_.nodes[node]);
  }
  bool ExtendContainer(NodeId target, const NodeId* children, size_t count);

  Arena& arena_;
  size_t texts_kept_ = 0;  // KeepTexts has seen the nodes before
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_BUILDER_H_
