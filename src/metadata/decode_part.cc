#include "metadata/decode_part.h"

#include "metadata/objects.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;

constexpr uint64_t kNumbersPerByte = 16;
constexpr uint64_t kTextPerByte = 16;
constexpr uint64_t kFree = 1 << 16;
constexpr size_t kMaxNotes = 100;

}  // namespace

DecodeState::DecodeState(const Graph& of, const FoldedRows& folded, uint64_t file_size)
    : graph(of),
      rows(folded),
      numbers_left(kFree + kNumbersPerByte * file_size),
      text_left(kFree + kTextPerByte * file_size) {}

bool DecodePart::HasRoomForNote() {
  if (out_.notes.size() < kMaxNotes) return true;
  ++state_.notes_left_out;
  return false;
}

Status DecodePart::Charge(uint64_t amount, uint64_t* left) {
  if (amount > *left) {
    return Error(Code::kLimit, "the file describes far more than its own size can justify");
  }
  *left -= amount;
  return Status::Ok();
}

Result<std::string> DecodePart::Text(NodeId node) {
  std::string_view text = graph_.Text(node);
  DCP_RETURN_IF_ERROR(Charge(text.size(), &text_left_));
  return std::string(text);
}

NodeId DecodePart::SizeTuple(NodeId node) {
  NodeKind kind = graph_.kind(node);
  if (kind != NodeKind::kReduce && kind != NodeKind::kNewObject) return node;
  NodeId callee = graph_.Callee(node);
  if (callee != state_.size_class) {
    if (graph_.kind(callee) != NodeKind::kGlobal || !graph_.IsGlobal(callee, "torch", "Size")) {
      return kNoNode;
    }
    state_.size_class = callee;
  }
  NodeId arguments = graph_.Arguments(node);
  if (graph_.kind(arguments) != NodeKind::kTuple) return kNoNode;
  std::span<const NodeId> items = graph_.Items(arguments);
  return items.size() == 1 ? items[0] : kNoNode;
}

template <typename Numbers>
Result<bool> DecodePart::AppendDims(NodeId node, Numbers* out) {
  if (node == kNoNode) return false;
  NodeId tuple = SizeTuple(node);
  if (!IsSequence(graph_, tuple)) return false;
  std::span<const NodeId> items = graph_.Items(tuple);
  if (items.size() > kMaxDims) {
    return Error(Code::kLimit, "{} dimensions, at most {} are possible", items.size(), kMaxDims);
  }
  DCP_RETURN_IF_ERROR(Charge(items.size(), &numbers_left_));
  for (NodeId item : items) {
    if (graph_.kind(item) != NodeKind::kInt || graph_.AsInt(item) < 0) return false;
    out->push_back(graph_.AsInt(item));
  }
  return true;
}

template Result<bool> DecodePart::AppendDims(NodeId node, Shape* out);
template Result<bool> DecodePart::AppendDims(NodeId node, std::vector<int64_t>* out);

Status DecodePart::AppendNumbers(Dims numbers, std::vector<int64_t>* out) {
  DCP_RETURN_IF_ERROR(Charge(numbers.size(), &numbers_left_));
  out->insert(out->end(), numbers.begin(), numbers.end());
  return Status::Ok();
}

}  // namespace dcp
