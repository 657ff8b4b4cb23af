// The arena behind a Graph: eight bytes a node, children in one shared array of links, and side
// tables for what does not fit. Others see it through Graph only.
#ifndef DCP_PICKLE_ARENA_H_
#define DCP_PICKLE_ARENA_H_

#include <deque>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "pickle/node.h"
#include "pickle/pod_array.h"

namespace dcp::pickle {

// Integers in [0, 2^30) are no nodes: they lie in the id itself.
inline constexpr NodeId kImmediate = 0x80000000;
inline constexpr uint32_t kImmediateEnd = 1u << 30;
inline bool IsImmediate(NodeId node) { return node >= kImmediate; }
// Nodes that every graph begins with.
inline constexpr NodeId kNoneNode = 0;
inline constexpr NodeId kFalseNode = 1;
inline constexpr NodeId kTrueNode = 2;
inline constexpr NodeId kEmptyTupleNode = 3;

// How the node's 27 extra bits and its payload are read, by kind:
//   kBool             payload 0 or 1
//   kInt              plain: 26 high bits, 32 low bits, signed; else payload indexes `integers`
//   kFloat            payload indexes `floats`
//   texts             plain: 20 bits length, 6 high and 32 low bits of the offset in the input, or,
//                     past its end, in `kept`; else payload indexes `texts`
//   kGlobal           module and name are the nodes links[payload], links[payload + 1]
//   containers        see Layout
//   kReduce           plain: callee in 26 bits, arguments in payload; else payload indexes
//                     `objects`
//   kNewObject        plain: callee in 25 bits, kFoldedBit, state (folded: row) in payload,
//                     arguments empty; else likewise
//   kPersistentId     payload is the operand
struct Node {
  uint32_t head;  // kind in the low 5 bits, extra bits above
  uint32_t payload;

  NodeKind kind() const { return static_cast<NodeKind>(head & 31); }
  bool plain() const { return (head & 32) == 0; }
  uint32_t rest() const { return head >> 6; }  // the 26 bits above the "plain" bit
};
static_assert(sizeof(Node) == 8);

inline Node PlainNode(NodeKind kind, uint32_t rest, uint32_t payload) {
  return {static_cast<uint32_t>(kind) | rest << 6, payload};
}
inline Node SideNode(NodeKind kind, size_t index) {
  return {static_cast<uint32_t>(kind) | 32, static_cast<uint32_t>(index)};
}
inline constexpr uint32_t kRestEnd = 1u << 26;
inline constexpr uint32_t kFoldedBit = 1u << 25;  // in a plain kNewObject's rest
inline bool IsFolded(const Node& node) {
  return node.kind() == NodeKind::kNewObject && node.plain() && (node.rest() & kFoldedBit) != 0;
}

// Children of a container: plain with rest 0 or 1: that many, the one in `payload` itself; plain
// with a greater rest: rest links from links[payload] on; else payload indexes `runs`.
struct Run {
  uint32_t begin = 0;
  uint32_t size = 0;
  uint32_t capacity = 0;
};

struct ObjectRecord {
  NodeId callee = kNoNode;
  NodeId arguments = kNoNode;
  NodeId keywords = kNoNode;
  NodeId state = kNoNode;
  Run items;
  Run pairs;
};

inline constexpr uint32_t kTextLengthBits = 20;
inline constexpr uint64_t kTextOffsetEnd = 1ull << 38;
// Of a short text at an offset below kTextOffsetEnd.
inline Node TextNode(NodeKind kind, uint64_t offset, uint64_t length) {
  return PlainNode(kind, static_cast<uint32_t>(offset >> 32 << kTextLengthBits | length),
                   static_cast<uint32_t>(offset));
}
inline bool IsText(NodeKind kind) {
  return kind == NodeKind::kString || kind == NodeKind::kBytes || kind == NodeKind::kByteArray ||
         kind == NodeKind::kBigInt;
}

// Filled by RunMachine, then read only.
struct Arena {
  Bytes input;
  NodeId root = kNoNode;
  size_t consumed = 0;
  PodArray<Node> nodes;
  PodArray<NodeId> links;
  PodArray<Run> runs;
  PodArray<ObjectRecord> objects;
  PodArray<int64_t> integers;
  PodArray<double> floats;
  PodArray<std::string_view> texts;
  std::deque<std::string> owned;  // what `texts` points to when it is not the input
  PodArray<char> kept;            // texts copied from parts of the input that are given back
};

// The text of a node for which IsText holds.
inline std::string_view TextOf(const Arena& arena, const Node& node) {
  if (!node.plain()) return arena.texts[node.payload];
  const uint64_t offset = uint64_t{node.rest() >> kTextLengthBits} << 32 | node.payload;
  const uint32_t length = node.rest() & ((1u << kTextLengthBits) - 1);
  if (offset < arena.input.size()) return AsText(arena.input.subspan(offset, length));
  return {arena.kept.data() + (offset - arena.input.size()), length};
}

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_ARENA_H_
