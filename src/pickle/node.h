// What the nodes of a graph are, and how they are named.
#ifndef DCP_PICKLE_NODE_H_
#define DCP_PICKLE_NODE_H_

#include <cstdint>

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

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_NODE_H_
