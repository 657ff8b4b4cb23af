// A pickle as plain data. Parse() runs the opcodes of protocols 0 to 5 and builds nodes only:
// there is no import mechanism, so no input can run code. What a global means is decided by the
// reader of the graph (metadata codec, tensorio).
#ifndef DCP_PICKLE_GRAPH_H_
#define DCP_PICKLE_GRAPH_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/status.h"
#include "pickle/arena.h"
#include "pickle/input.h"
#include "pickle/node.h"

namespace dcp::pickle {

struct Limits {
  uint32_t max_depth = 1000;        // depth of the mark stack
  uint64_t max_nodes = 1ull << 31;  // nodes and child links; also never more than 4 per input byte
                                    // plus a constant, whatever this says
  uint64_t max_memo = 1ull << 30;
  uint64_t max_bytes = 1ull << 40;  // length of one string, bytes or integer
};

class Graph;

// What lies in a state that was read without making nodes.
struct PlainValue {
  enum class Kind : uint8_t {
    kNode,         // `node`, older than the object
    kNumber,       // an integer >= 0
    kText,         // a string
    kNumbers,      // what `node` gives when it is called with one tuple, of integers >= 0
    kTuple,        // of `numbers`
    kList,         // of `items`
    kDictObject,   // an instance of `node`, made without arguments; items: key, value, key, value
                   // ... of its state
    kTupleObject,  // likewise; items: those of the tuple that is its state
  };
  std::span<const PlainValue> items() const;

  Kind kind = Kind::kNode;
  uint32_t item_count = 0;
  NodeId node = kNoNode;
  uint64_t number = 0;
  std::string_view text;
  std::span<const uint64_t> numbers;
  const PlainValue* first_item = nullptr;
};
inline std::span<const PlainValue> PlainValue::items() const { return {first_item, item_count}; }

// A state that is a dict, and was read without making nodes: key, value, key, value ...
struct PlainState {
  std::span<const PlainValue> pairs;
  // Two states of one form, unless it is 0, are alike but for numbers, texts (also those that are
  // keys) and what values were put earlier. They lie at the same address; nodes that are keys,
  // classes, callables or items of a kTupleObject are the same.
  uint64_t form = 0;
};

// Takes finished objects out of a graph while it is made, and keeps of them what it needs: of
// millions of alike ones the graph then holds eight bytes each.
class Folder {
 public:
  virtual ~Folder() = default;
  // Asked of every instance made without arguments: its class, as it will read it later (then
  // given to Fold); 0 when it is to stay as it is.
  virtual uint32_t Wants(const Graph& graph, NodeId callee) = 0;
  // An instance is complete but for its state. True when the folder has taken what matters, and
  // numbered it: the graph forgets the state and what only the state holds. Of the nodes seen,
  // those below `object` stay; the others may be gone after the call. Not every wanted instance
  // comes here: shared ones do not. May throw std::bad_alloc.
  virtual bool Fold(const Graph& graph, uint32_t what, NodeId object, NodeId state,
                    uint32_t* row) = 0;
  // As Fold, of a state that no node was made of. False leads to nodes, and to Fold.
  virtual bool FoldPlain(const Graph& /*graph*/, uint32_t /*what*/, NodeId /*object*/,
                         const PlainState& /*state*/, uint32_t* /*row*/) {
    return false;
  }
};

// Readers of millions of nodes ask, so that the answers are in line.
class Graph {
 public:
  NodeId root() const { return arena_->root; }
  size_t consumed() const { return arena_->consumed; }  // bytes up to and including STOP
  size_t node_count() const { return arena_->nodes.size(); }

  NodeKind kind(NodeId node) const {
    if (IsImmediate(node)) return node == kNoNode ? NodeKind::kNone : NodeKind::kInt;
    return arena_->nodes[node].kind();
  }
  bool AsBool(NodeId node) const {
    return kind(node) == NodeKind::kBool && arena_->nodes[node].payload != 0;
  }
  // kInt only; larger integers are kBigInt.
  int64_t AsInt(NodeId node) const {
    if (IsImmediate(node) && node != kNoNode) return static_cast<int64_t>(node - kImmediate);
    return WideInt(node);
  }
  double AsFloat(NodeId node) const;
  // kString: UTF-8 with surrogates as they stand; kBytes, kByteArray; kBigInt: two's complement
  // little-endian, longer than 8 bytes. Borrowed from the input or the graph.
  std::string_view Text(NodeId node) const {
    return IsText(kind(node)) ? TextOf(*arena_, arena_->nodes[node]) : std::string_view();
  }
  std::string_view Module(NodeId node) const;  // kGlobal
  std::string_view Name(NodeId node) const;    // kGlobal; dots in protocol 4 names are kept
  // Tuple, list, sets; kReduce and kNewObject: what APPEND(S) added.
  std::span<const NodeId> Items(NodeId node) const {
    const NodeKind what = kind(node);
    if (what == NodeKind::kTuple || what == NodeKind::kList) return Children(arena_->nodes[node]);
    return OtherItems(node);
  }
  // kDict, kReduce, kNewObject: key, value, key, value, ... in insertion order, repeats kept.
  std::span<const NodeId> Pairs(NodeId node) const;
  // kReduce, kNewObject.
  NodeId Callee(NodeId node) const {
    const NodeKind what = kind(node);
    if (what != NodeKind::kReduce && what != NodeKind::kNewObject) return kNoNode;
    const Node& at = arena_->nodes[node];
    if (!at.plain()) return arena_->objects[at.payload].callee;
    return what == NodeKind::kNewObject ? at.rest() & ~kFoldedBit : at.rest();
  }
  // kReduce, kNewObject: a tuple; kPersistentId: anything.
  NodeId Arguments(NodeId node) const {
    const NodeKind what = kind(node);
    if (what == NodeKind::kReduce && arena_->nodes[node].plain())
      return arena_->nodes[node].payload;
    return OtherArguments(node);
  }
  NodeId Keywords(NodeId node) const;  // NEWOBJ_EX's dict, else kNoNode
  NodeId State(NodeId node) const;     // BUILD's operand, else kNoNode; kNoNode when folded
  // The row of an instance that the Folder took: it has a callee, and nothing else.
  std::optional<uint32_t> Folded(NodeId node) const {
    if (IsImmediate(node) || !IsFolded(arena_->nodes[node])) return std::nullopt;
    return arena_->nodes[node].payload;
  }

  // Shorthands for readers.
  bool IsGlobal(NodeId node, std::string_view module, std::string_view name) const;
  bool IsString(NodeId node) const { return kind(node) == NodeKind::kString; }

 private:
  friend Result<Graph> Parse(Input& input, const Limits& limits, Folder* folder);
  explicit Graph(std::unique_ptr<Arena> arena) : arena_(std::move(arena)) {}
  // Of a container.
  std::span<const NodeId> Children(const Node& node) const {
    if (!node.plain()) return RunItems(arena_->runs[node.payload]);
    const uint32_t count = node.rest();
    return {count <= 1 ? &node.payload : arena_->links.data() + node.payload, count};
  }
  std::span<const NodeId> RunItems(const Run& run) const {
    return {arena_->links.data() + run.begin, run.size};
  }
  std::span<const NodeId> OtherItems(NodeId node) const;
  NodeId OtherArguments(NodeId node) const;
  int64_t WideInt(NodeId node) const;

  std::unique_ptr<Arena> arena_;
};

// Parses one pickle at the start of `input`; bytes after STOP are left alone (see consumed()).
// The graph borrows `input`, but for what was passed of it. Errors name the opcode and its byte
// offset: kCorrupt for what is not a pickle, kLimit for a cap, kUnsupported for EXT1/2/4,
// out-of-band buffers and unknown opcodes; else the input's own.
Result<Graph> Parse(Input& input, const Limits& limits, Folder* folder = nullptr);
Result<Graph> Parse(Bytes input, const Limits& limits, Folder* folder = nullptr);
inline Result<Graph> Parse(Bytes input) { return Parse(input, Limits()); }

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_GRAPH_H_
