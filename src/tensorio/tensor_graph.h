// Reads torch's tensor constructors out of a pickle graph. Nothing in the graph is trusted: every
// number that leaves here was checked against the size that the storage claims.
#ifndef DCP_TENSORIO_TENSOR_GRAPH_H_
#define DCP_TENSORIO_TENSOR_GRAPH_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/shape.h"
#include "pickle/graph.h"

namespace dcp {

// ('storage', class, key, location, numel): bytes that lie in record data/<key>.
struct StorageReference {
  std::string_view key;            // borrowed from the graph
  std::string_view storage_class;  // "FloatStorage", "UntypedStorage", ...
  DType dtype = DType::kUInt8;     // of the class; kUInt8 when it has none
  bool untyped = false;
  uint64_t bytes = 0;
};

// A strided tensor on a storage; offset and strides in elements of `dtype`.
struct StridedReference {
  StorageReference storage;
  DType dtype = DType::kFloat32;
  Shape shape;
  Shape strides;
  int64_t storage_offset = 0;
  bool requires_grad = false;
  bool conj = false;
  bool neg = false;
};

// What stands behind a dense tensor in a pickle.
enum class RebuildKind : uint8_t { kNone, kTensor, kTensorV2, kTensorV3 };
RebuildKind DenseRebuild(const pickle::Graph& graph, pickle::NodeId callee);

// A tuple or list of integers >= 0, or torch.Size of one.
Result<Shape> ReadShape(const pickle::Graph& graph, pickle::NodeId node);
// kPersistentId node. The location ("cuda:0") is not looked at.
Result<StorageReference> ReadStorage(const pickle::Graph& graph, pickle::NodeId node);
// The arguments of one of torch's three dense rebuild functions.
Result<StridedReference> ReadStrided(const pickle::Graph& graph, RebuildKind kind,
                                     pickle::NodeId arguments);
// torch.float32 as a global.
Result<DType> ReadDType(const pickle::Graph& graph, pickle::NodeId node);

// "module.name" of a global, "a list", ...: for messages, printable.
std::string DescribeNode(const pickle::Graph& graph, pickle::NodeId node);

}  // namespace dcp

#endif  // DCP_TENSORIO_TENSOR_GRAPH_H_
