// The reading half of tensor_item.h: where a stored tensor's bytes are.
#include "base/checksum.h"
#include "pickle/graph.h"
#include "tensorio/archive_checks.h"
#include "tensorio/legacy.h"
#include "tensorio/parsed_item.h"
#include "tensorio/records.h"
#include "tensorio/tensor_graph.h"
#include "tensorio/tensor_item.h"
#include "value/names.h"
#include "zip/archive.h"
#include "zip/inflate.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::NodeId;
using pickle::NodeKind;

// data.pkl of a tensor has some 200 bytes; attributes of tensors make it longer.
constexpr uint64_t kMaxPickle = 16 << 20;
// Parameters and tensors with attributes wrap another tensor; torch nests them twice at most.
constexpr int kMaxWrappers = 8;

std::string LastPart(std::string_view dotted) {
  return std::string(dotted.substr(dotted.rfind('.') + 1));
}

NodeId Argument(const Graph& graph, NodeId arguments, size_t index) {
  if (graph.kind(arguments) != NodeKind::kTuple) return pickle::kNoNode;
  std::span<const NodeId> items = graph.Items(arguments);
  return index < items.size() ? items[index] : pickle::kNoNode;
}

// dtype and shape of forms that do not load are filled in where they are easily found.
void FillShape(const Graph& graph, NodeId node, StoredTensor* tensor) {
  if (node == pickle::kNoNode) return;
  if (Result<Shape> shape = ReadShape(graph, node); shape.ok()) tensor->shape = *std::move(shape);
}
void FillDType(const Graph& graph, NodeId node, StoredTensor* tensor) {
  if (node == pickle::kNoNode) return;
  if (Result<DType> dtype = ReadDType(graph, node); dtype.ok()) tensor->dtype = *dtype;
}

StoredTensor DescribeQuantized(const Graph& graph, NodeId arguments) {
  StoredTensor tensor;
  tensor.form = TensorForm::kQuantized;
  tensor.description = "quantized";
  if (NodeId node = Argument(graph, arguments, 0); node != pickle::kNoNode) {
    if (Result<StorageReference> storage = ReadStorage(graph, node); storage.ok()) {
      tensor.dtype = storage->dtype;
      tensor.description.append(" ").append(DTypeName(storage->dtype));
    }
  }
  FillShape(graph, Argument(graph, arguments, 2), &tensor);
  NodeId parameters = Argument(graph, arguments, 4);
  if (parameters != pickle::kNoNode) {
    NodeId scheme = Argument(graph, parameters, 0);
    if (scheme != pickle::kNoNode && graph.kind(scheme) == NodeKind::kGlobal) {
      tensor.description += " " + PrintableName(graph.Name(scheme));
    }
  }
  return tensor;
}

// (layout, (indices, values, size[, coalesced])), and one more index array for the compressed
// layouts.
StoredTensor DescribeSparse(const Graph& graph, NodeId arguments) {
  StoredTensor tensor;
  tensor.form = TensorForm::kSparse;
  tensor.description = "sparse";
  NodeId layout = Argument(graph, arguments, 0);
  if (layout != pickle::kNoNode && graph.kind(layout) == NodeKind::kReduce) {
    NodeId name = Argument(graph, graph.Arguments(layout), 0);
    if (name != pickle::kNoNode && graph.IsString(name)) {
      tensor.description = LastPart(PrintableName(graph.Text(name)));
    }
  }
  NodeId data = Argument(graph, arguments, 1);
  if (data == pickle::kNoNode) return tensor;
  const size_t values = tensor.description == "sparse_coo" ? 1 : 2;
  FillShape(graph, Argument(graph, data, values + 1), &tensor);
  NodeId node = Argument(graph, data, values);
  if (node != pickle::kNoNode && graph.kind(node) == NodeKind::kReduce) {
    RebuildKind kind = DenseRebuild(graph, graph.Callee(node));
    if (kind != RebuildKind::kNone) {
      Result<StridedReference> dense = ReadStrided(graph, kind, graph.Arguments(node));
      if (dense.ok()) tensor.dtype = dense->dtype;
    }
  }
  return tensor;
}

// Every other function that torch rebuilds tensors with.
Result<StoredTensor> DescribeOther(const Graph& graph, NodeId callee, NodeId arguments) {
  StoredTensor tensor;
  std::string_view name = graph.Name(callee);
  if (name == "_rebuild_qtensor") return DescribeQuantized(graph, arguments);
  if (name == "_rebuild_sparse_tensor" || name == "_rebuild_sparse_csr_tensor") {
    return DescribeSparse(graph, arguments);
  }
  if (name == "_rebuild_meta_tensor_no_storage") {
    tensor.form = TensorForm::kMeta;
    tensor.description = "meta";
    FillDType(graph, Argument(graph, arguments, 0), &tensor);
    FillShape(graph, Argument(graph, arguments, 1), &tensor);
    return tensor;
  }
  if (name == "_rebuild_wrapper_subclass") {
    tensor.form = TensorForm::kSubclass;
    NodeId type = Argument(graph, arguments, 0);
    tensor.description = "subclass " + (type == pickle::kNoNode ? "" : DescribeNode(graph, type));
    FillDType(graph, Argument(graph, arguments, 1), &tensor);
    FillShape(graph, Argument(graph, arguments, 2), &tensor);
    return tensor;
  }
  if (name.starts_with("_rebuild_") && name.find("tensor") != std::string_view::npos) {
    tensor.form = TensorForm::kOther;
    tensor.description = "tensor made by " + DescribeNode(graph, callee);
    return tensor;
  }
  return Error(Code::kCorrupt, "the item holds an object made by {}, not a tensor",
               DescribeNode(graph, callee));
}

Result<StoredTensor> LocateDense(const zip::Archive& archive, const StridedReference& reference) {
  std::string name(records::kStorage);
  name += reference.storage.key;
  const zip::Record* record = archive.Find(name);
  if (record == nullptr) {
    return Error(Code::kCorrupt, "there is no record for storage '{}'",
                 PrintableName(reference.storage.key));
  }
  if (record->size != reference.storage.bytes) {
    return Error(Code::kCorrupt, "storage '{}' should have {} bytes, its record has {}",
                 PrintableName(reference.storage.key), reference.storage.bytes, record->size);
  }
  StoredTensor tensor;
  tensor.dtype = reference.dtype;
  tensor.shape = reference.shape;
  tensor.strides = reference.strides;
  tensor.storage_offset = reference.storage_offset;
  tensor.conj = reference.conj;
  tensor.neg = reference.neg;
  if (GetDTypeInfo(tensor.dtype).quantized) {
    tensor.form = TensorForm::kQuantized;
    tensor.description = "quantized " + std::string(DTypeName(tensor.dtype));
    return tensor;
  }
  tensor.data_offset = record->data_offset;
  tensor.data_size = record->size;
  tensor.deflated = record->method != 0;
  if (record->has_crc()) tensor.crc32 = record->crc32;
  const zip::Record* table = archive.Find(records::kBlockTable);
  if (table != nullptr && name == "data/0" && !tensor.deflated && table->method == 0) {
    const uint64_t blocks = (tensor.data_size + kChecksumBlock - 1) / kChecksumBlock;
    if (table->size != blocks * sizeof(uint32_t)) {
      return Error(Code::kCorrupt, "the table of block checksums has {} bytes for {} blocks",
                   table->size, blocks);
    }
    tensor.block_table_offset = table->data_offset;
  }
  return tensor;
}

Result<StoredTensor> Interpret(const Graph& graph, const zip::Archive& archive) {
  NodeId node = graph.root();
  NodeId callee = pickle::kNoNode;
  NodeId arguments = pickle::kNoNode;
  for (int wrapper = 0; wrapper < kMaxWrappers; ++wrapper) {
    if (node != pickle::kNoNode) {
      if (graph.kind(node) != NodeKind::kReduce ||
          graph.kind(graph.Callee(node)) != NodeKind::kGlobal) {
        return Error(Code::kCorrupt, "the item holds {}, not a tensor", DescribeNode(graph, node));
      }
      callee = graph.Callee(node);
      arguments = graph.Arguments(node);
    }
    if (RebuildKind kind = DenseRebuild(graph, callee); kind != RebuildKind::kNone) {
      DCP_ASSIGN_OR_RETURN(StridedReference reference, ReadStrided(graph, kind, arguments));
      return LocateDense(archive, reference);
    }
    const NodeId first = Argument(graph, arguments, 0);
    if (first != pickle::kNoNode &&
        (graph.IsGlobal(callee, "torch._utils", "_rebuild_parameter") ||
         graph.IsGlobal(callee, "torch._utils", "_rebuild_parameter_with_state"))) {
      node = first;
      continue;
    }
    // (function, type, arguments, state): a tensor with attributes, or of a subclass.
    if (graph.IsGlobal(callee, "torch._tensor", "_rebuild_from_type_v2") ||
        graph.IsGlobal(callee, "torch._tensor", "_rebuild_from_type")) {
      const NodeId type = Argument(graph, arguments, 1);
      const NodeId inner = Argument(graph, arguments, 2);
      if (type == pickle::kNoNode || inner == pickle::kNoNode ||
          graph.kind(first) != NodeKind::kGlobal) {
        return Error(Code::kCorrupt, "a tensor with attributes has wrong arguments");
      }
      if (!graph.IsGlobal(type, "torch", "Tensor") &&
          !graph.IsGlobal(type, "torch.nn.parameter", "Parameter")) {
        StoredTensor tensor;
        tensor.form = TensorForm::kSubclass;
        tensor.description = "subclass " + DescribeNode(graph, type);
        return tensor;
      }
      node = pickle::kNoNode;
      callee = first;
      arguments = inner;
      continue;
    }
    if (graph.Module(callee) != "torch._utils") {
      return Error(Code::kCorrupt, "the item holds an object made by {}, not a tensor",
                   DescribeNode(graph, callee));
    }
    return DescribeOther(graph, callee, arguments);
  }
  return Error(Code::kCorrupt, "a tensor wrapped more than {} times", kMaxWrappers);
}

}  // namespace

Result<ParsedItem> ParseItem(const ByteSource& item) {
  ParsedItem parsed;
  Result<zip::Archive> archive = zip::Archive::Open(&item);
  if (!archive.ok()) return ExplainNotZip(item, archive.status());
  parsed.archive = *std::move(archive);
  DCP_RETURN_IF_ERROR(CheckByteOrder(parsed.archive));
  const zip::Record* record = parsed.archive.Find(records::kPickle);
  if (record == nullptr) return Error(Code::kCorrupt, "the item has no record data.pkl");
  DCP_ASSIGN_OR_RETURN(std::string bytes, parsed.archive.Read(*record, kMaxPickle));
  DCP_ASSIGN_OR_RETURN(Graph graph, pickle::Parse(AsBytes(bytes)));
  DCP_ASSIGN_OR_RETURN(parsed.stored, Interpret(graph, parsed.archive));
  return parsed;
}

Result<StoredTensor> ParseTensorItem(const ByteSource& item) {
  DCP_ASSIGN_OR_RETURN(ParsedItem parsed, ParseItem(item));
  return std::move(parsed.stored);
}

Status ReadPayload(const ByteSource& item, const StoredTensor& stored, MutableBytes out,
                   bool* checked) {
  if (checked != nullptr) *checked = false;
  if (stored.form != TensorForm::kDense) {
    return Error(Code::kUnsupported, "a {} has no payload to read", stored.description);
  }
  if (out.size() != stored.data_size) {
    return Error(Code::kInternal, "{} bytes of room for a payload of {}", out.size(),
                 stored.data_size);
  }
  if (stored.data_offset > item.size()) {
    return Error(Code::kCorrupt, "the payload begins at offset {} of an item of {} bytes",
                 stored.data_offset, item.size());
  }
  if (stored.deflated) {
    DCP_RETURN_IF_ERROR(
        zip::InflateInto(item, stored.data_offset, item.size() - stored.data_offset, out));
  } else {
    DCP_RETURN_IF_ERROR(item.ReadAt(stored.data_offset, out));
  }
  if (!stored.crc32) return Status::Ok();
  const uint32_t crc = Crc32(0, out);
  if (crc != *stored.crc32) {
    return Error(Code::kCorrupt, "the payload at offset {} has CRC32 {:08x}, not {:08x}",
                 stored.data_offset, crc, *stored.crc32);
  }
  if (checked != nullptr) *checked = true;
  return Status::Ok();
}

}  // namespace dcp
