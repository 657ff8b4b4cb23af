// A pickle as plain data. Parse() runs the opcodes of protocols 0 to 5 and builds nodes only:
// there is no import mechanism, so no input can run code. What a global means is decided by the
// reader of the graph (metadata codec, tensorio).
#ifndef DCP_PICKLE_GRAPH_H_
#define DCP_PICKLE_GRAPH_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp::pickle {

enum class NodeKind : uint8_t {
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kString,
  kBytes,
  kByteArray,
  kTuple,
  kList,
  kDict,
  kSet,
  kFrozenSet,
  kGlobal,        // module and name
  kReduce,        // callee(*arguments), with state, appended items and set items
  kNewObject,     // callee.__new__(callee, *arguments[, **keywords]), likewise
  kPersistentId,  // operand in arguments
};

// Index of a node; nodes are shared, and may form cycles (a list that holds itself).
using NodeId = uint32_t;
inline constexpr NodeId kNoNode = 0xffffffff;

struct Limits {
  uint32_t max_depth = 1000;        // depth of the mark stack
  uint64_t max_nodes = 1ull << 31;  // nodes and child links; also never more than 4 per input byte
                                    // plus a constant, whatever this says
  uint64_t max_memo = 1ull << 30;
  uint64_t max_bytes = 1ull << 40;  // length of one string, bytes or integer
};

class Graph {
 public:
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  ~Graph();

  NodeId root() const;
  size_t consumed() const;  // bytes up to and including STOP
  size_t node_count() const;

  NodeKind kind(NodeId node) const;
  bool AsBool(NodeId node) const;
  int64_t AsInt(NodeId node) const;  // kInt only; larger integers are kBigInt
  double AsFloat(NodeId node) const;
  // kString: UTF-8 with surrogates as they stand; kBytes, kByteArray; kBigInt: two's complement
  // little-endian, longer than 8 bytes. Borrowed from the input or the graph.
  std::string_view Text(NodeId node) const;
  std::string_view Module(NodeId node) const;  // kGlobal
  std::string_view Name(NodeId node) const;    // kGlobal; dots in protocol 4 names are kept
  // Tuple, list, sets; kReduce and kNewObject: what APPEND(S) added.
  std::span<const NodeId> Items(NodeId node) const;
  // kDict, kReduce, kNewObject: key, value, key, value, ... in insertion order, repeats kept.
  std::span<const NodeId> Pairs(NodeId node) const;
  NodeId Callee(NodeId node) const;     // kReduce, kNewObject
  NodeId Arguments(NodeId node) const;  // kReduce, kNewObject: a tuple; kPersistentId: anything
  NodeId Keywords(NodeId node) const;   // NEWOBJ_EX's dict, else kNoNode
  NodeId State(NodeId node) const;      // BUILD's operand, else kNoNode

  // Shorthands for readers.
  bool IsGlobal(NodeId node, std::string_view module, std::string_view name) const;
  bool IsString(NodeId node) const { return kind(node) == NodeKind::kString; }

 private:
  friend Result<Graph> Parse(Bytes input, const Limits& limits);
  struct Rep;
  explicit Graph(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// Parses one pickle at the start of `input`; bytes after STOP are left alone (see consumed()).
// The graph borrows `input`. Errors name the opcode and its byte offset: kCorrupt for what is not
// a pickle, kLimit for a cap, kUnsupported for EXT1/2/4, out-of-band buffers and unknown opcodes.
Result<Graph> Parse(Bytes input, const Limits& limits);
inline Result<Graph> Parse(Bytes input) { return Parse(input, Limits()); }

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_GRAPH_H_
