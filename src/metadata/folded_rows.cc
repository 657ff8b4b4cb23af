#include "metadata/folded_rows.h"

#include <algorithm>

#include "metadata/objects.h"
#include "metadata/trailer.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;
using pickle::PlainValue;

// First byte of a row.
constexpr uint32_t kChunk = 1;
constexpr uint32_t kIndex = 2;
constexpr uint32_t kStored = 3;
constexpr uint32_t kTensor = 4;

constexpr std::string_view kClasses[] = {"", "ChunkStorageMetadata", "MetadataIndex",
                                         "_StorageInfo", "TensorStorageMetadata"};
constexpr std::string_view kFields[][5] = {
    {},
    {"offsets", "sizes"},
    {"fqn", "offset", "index"},
    {"relative_path", "offset", "length", "transform_descriptors", kItemCrc},
    {"properties", "size", "chunks"},
};
constexpr size_t kNeeded[] = {0, 2, 3, 3, 3};  // fields; what follows may be absent

constexpr size_t kAnyCount = SIZE_MAX;
constexpr size_t kFree = 1 << 12;
constexpr size_t kLargeInput = 16 << 20;
constexpr size_t kInputPerRowByte = 3;  // mostly it is more
// A tensor's size and its chunks, or less.
constexpr size_t kMaxRow = 16 + 10 * ((1 + 2 * 8) * (kMaxDims + 1) + 8);
constexpr size_t kLookBack = 8;  // properties that a tensor may share

class Reader {
 public:
  explicit Reader(const uint8_t* at) : at_(at) {}
  uint64_t Number() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const uint8_t byte = *at_++;
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
  }
  // Written as one more, or 0.
  std::optional<uint64_t> Optional() {
    const uint64_t value = Number();
    return value == 0 ? std::nullopt : std::optional<uint64_t>(value - 1);
  }
  void Dims(Shape* out) { Numbers(Number(), out); }
  template <typename Out>
  void Numbers(size_t count, Out* out) {
    out->resize(count);
    for (int64_t& number : *out) number = static_cast<int64_t>(Number());
  }
  TextRef Text() {
    const uint64_t value = Number();
    const auto id = static_cast<uint32_t>(value >> 1);
    return (value & 1) != 0 ? TextRef{id, 0} : TextRef{kNoNode, id};
  }

 private:
  const uint8_t* at_;
};

// An integer >= 0.
std::optional<uint64_t> Natural(const Graph& graph, const PlainValue& value) {
  if (value.kind == PlainValue::Kind::kNumber) return value.number;
  if (value.kind != PlainValue::Kind::kNode || graph.kind(value.node) != NodeKind::kInt ||
      graph.AsInt(value.node) < 0) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(graph.AsInt(value.node));
}

// None, or not there (null).
bool IsAbsent(const Graph& graph, const PlainValue* value) {
  return value == nullptr || (value->kind == PlainValue::Kind::kNode && IsNone(graph, value->node));
}

// Keys that are texts may differ within a form.
bool HasTextKey(std::span<const PlainValue> pairs) {
  for (size_t i = 0; i < pairs.size(); i += 2) {
    if (pairs[i].kind == PlainValue::Kind::kText) return true;
  }
  return false;
}

}  // namespace

// Numbers as groups of seven bits, low ones first.
class FoldedRows::Writer {
 public:
  void Number(uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_[size_++] = static_cast<uint8_t>(value | 128);
    bytes_[size_++] = static_cast<uint8_t>(value);
  }
  const uint8_t* data() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  uint8_t bytes_[kMaxRow];
  size_t size_ = 0;
};

FoldedRows::FoldedRows(size_t input_size) : input_size_(input_size) {
  classes_.fill(kNoNode);
  for (auto& keys : keys_) keys.fill(kNoNode);
  if (input_size_ >= kLargeInput) rows_.Expect(input_size_ / kInputPerRowByte);
}

uint32_t FoldedRows::Wants(const Graph& graph, NodeId callee) {
  for (uint32_t what : {kChunk, kIndex, kStored, kTensor}) {
    if (callee == classes_[what]) return what;
  }
  if (graph.kind(callee) != NodeKind::kGlobal) return 0;
  const std::string_view name = graph.Name(callee);
  for (uint32_t what : {kChunk, kIndex, kStored, kTensor}) {
    if (name != kClasses[what]) continue;
    classes_[what] = callee;
    return what;
  }
  return 0;
}

// The field that `key` names; kMostFields when it is none. `place`: which pair of the state it is.
size_t FoldedRows::FieldOf(const Graph& graph, uint32_t what, NodeId object, size_t place,
                           const PlainValue& key) {
  std::array<NodeId, kMostFields>& keys = keys_[what];
  if (key.kind == PlainValue::Kind::kNode) {
    const size_t likely = order_[what][place];
    if (keys[likely] == key.node && key.node != kNoNode) return likely;
    for (size_t field = 0; field < keys.size(); ++field) {
      if (keys[field] != key.node || key.node == kNoNode) continue;
      order_[what][place] = static_cast<uint8_t>(field);
      return field;
    }
    if (!graph.IsString(key.node)) return kMostFields;
  }
  const std::string_view name =
      key.kind == PlainValue::Kind::kNode ? graph.Text(key.node) : key.text;
  size_t field = 0;
  while (field < keys.size() && (kFields[what][field] != name || name.empty())) ++field;
  if (field < keys.size() && key.kind == PlainValue::Kind::kNode && key.node < object) {
    keys[field] = key.node;
  }
  return field;
}

bool FoldedRows::SortFields(const Graph& graph, uint32_t what, NodeId object,
                            std::span<const PlainValue> pairs, Fields* out) {
  if (pairs.size() > 2 * out->size()) return false;
  out->fill(nullptr);
  for (size_t place = 0; 2 * place < pairs.size(); ++place) {
    const size_t field = FieldOf(graph, what, object, place, pairs[2 * place]);
    if (field == kMostFields || (*out)[field] != nullptr) return false;
    (*out)[field] = &pairs[2 * place + 1];
  }
  return std::find(out->begin(), out->begin() + kNeeded[what], nullptr) ==
         out->begin() + kNeeded[what];
}

bool FoldedRows::IsSize(const Graph& graph, NodeId object, NodeId callee) {
  if (callee == size_class_ && callee != kNoNode) return true;
  if (!graph.IsGlobal(callee, "torch", "Size")) return false;
  if (callee < object) size_class_ = callee;
  return true;
}

// The numbers of a torch.Size or tuple: as many as *ndim, or, when that is kAnyCount, any number of
// them, which comes first and goes there.
bool FoldedRows::PutDims(const Graph& graph, NodeId object, const PlainValue& value, Writer* out,
                         size_t* ndim) {
  const auto fits = [&](size_t count) {
    if (count > kMaxDims || (*ndim != kAnyCount && *ndim != count)) return false;
    if (*ndim == kAnyCount) out->Number(count);
    *ndim = count;
    return true;
  };
  if (value.kind == PlainValue::Kind::kNumbers) {
    if (!IsSize(graph, object, value.node) || !fits(value.numbers.size())) return false;
    for (const uint64_t number : value.numbers) out->Number(number);
    return true;
  }
  if (value.kind != PlainValue::Kind::kNode) return false;
  NodeId node = value.node;
  if (graph.kind(node) == NodeKind::kReduce) {
    if (!IsSize(graph, object, graph.Callee(node))) return false;
    const NodeId arguments = graph.Arguments(node);
    const std::span<const NodeId> items = graph.Items(arguments);
    if (items.size() != 1) return false;
    node = items[0];
  }
  // A list may still be changed.
  if (graph.kind(node) != NodeKind::kTuple) return false;
  const std::span<const NodeId> items = graph.Items(node);
  if (!fits(items.size())) return false;
  for (const NodeId item : items) {
    if (graph.kind(item) != NodeKind::kInt || graph.AsInt(item) < 0) return false;
    out->Number(static_cast<uint64_t>(graph.AsInt(item)));
  }
  return true;
}

// Older nodes stay, and many rows may share one of any length. A newer one goes, but its bytes were
// paid for by the input.
bool FoldedRows::PutText(const Graph& graph, NodeId object, const PlainValue& value, Writer* out) {
  std::string_view text = value.text;
  if (value.kind == PlainValue::Kind::kNode && graph.IsString(value.node)) {
    if (value.node < object) {
      out->Number(uint64_t{value.node} << 1 | 1);
      return true;
    }
    text = graph.Text(value.node);
  } else if (value.kind != PlainValue::Kind::kText) {
    return false;
  }
  out->Number(uint64_t{OwnTextOf(text)} << 1);
  return true;
}

// Texts come in the same order again and again.
uint32_t FoldedRows::OwnTextOf(std::string_view text) {
  for (const uint32_t guess : {last_own_ + 1, last_own_}) {
    if (guess < text_ends_.size() && OwnText(guess) == text) return last_own_ = guess;
  }
  const auto fresh = static_cast<uint32_t>(text_ends_.size());
  last_own_ = text_ids_.FindOrAdd(SeededHash(text), fresh,
                                  [&](uint32_t other) { return OwnText(other) == text; });
  if (last_own_ == fresh) {
    texts_.Append(text.data(), text.size());
    text_ends_.push_back(texts_.size());
  }
  return last_own_;
}

bool FoldedRows::PutChunk(const Graph& graph, NodeId object, const Fields& fields, Writer* out) {
  size_t offsets = kAnyCount, sizes = kAnyCount;
  return PutDims(graph, object, *fields[0], out, &offsets) &&
         PutDims(graph, object, *fields[1], out, &sizes);
}

bool FoldedRows::PutIndex(const Graph& graph, NodeId object, const Fields& fields, Writer* out) {
  if (!PutText(graph, object, *fields[0], out)) return false;
  const std::optional<uint64_t> hint = Natural(graph, *fields[2]);
  out->Number(hint ? *hint + 1 : 0);
  const bool has_offset = !IsAbsent(graph, fields[1]);
  out->Number(has_offset ? 1 : 0);
  size_t ndim = kAnyCount;
  return !has_offset || PutDims(graph, object, *fields[1], out, &ndim);
}

bool FoldedRows::PutStored(const Graph& graph, NodeId object, const Fields& fields, Writer* out) {
  const auto [path, offset_value, length_value, transforms, crc_value] = fields;
  const std::optional<uint64_t> offset = Natural(graph, *offset_value);
  const std::optional<uint64_t> length = Natural(graph, *length_value);
  if (!offset || !length || *offset + *length > uint64_t{INT64_MAX}) return false;
  const bool plain = IsAbsent(graph, transforms);
  if (!plain && (transforms->kind != PlainValue::Kind::kNode || transforms->node >= object)) {
    return false;
  }
  std::optional<uint64_t> crc;
  if (crc_value != nullptr) {
    crc = Natural(graph, *crc_value);
    if (!crc || *crc > UINT32_MAX) return false;
  }
  if (!PutText(graph, object, *path, out)) return false;
  out->Number(*offset);
  out->Number(*length);
  out->Number(crc ? *crc + 1 : 0);
  out->Number(plain ? 0 : uint64_t{transforms->node} + 1);
  return true;
}

// As the decoder reads them: the class may be any.
bool FoldedRows::PutProperties(const Graph& graph, const PlainValue& value, Writer* out) {
  PropertyNodes nodes;
  nodes.parts.fill(kNoNode);
  if (value.kind == PlainValue::Kind::kNode) {
    nodes.whole = value.node;
  } else {
    const std::span<const PlainValue> items = value.items();
    if (value.kind != PlainValue::Kind::kTupleObject || items.size() < nodes.parts.size() ||
        graph.kind(value.node) != NodeKind::kGlobal) {
      return false;
    }
    for (size_t i = 0; i < nodes.parts.size(); ++i) {
      if (items[i].kind != PlainValue::Kind::kNode) return false;
      nodes.parts[i] = items[i].node;
    }
  }
  const size_t count = properties_.size();
  size_t id = count;
  for (size_t i = count; i > 0 && count - i < kLookBack && id == count; --i) {
    if (properties_[i - 1] == nodes) id = i - 1;
  }
  if (id == count) properties_.push_back(nodes);
  // The items of a tuple are the same in all states of a form.
  current_->has_properties = nodes.whole == kNoNode && current_->form != 0;
  current_->properties = static_cast<uint32_t>(id);
  out->Number(id);
  return true;
}

// One with few chunks, all of its dimensions. Those of others are folded one by one.
bool FoldedRows::PutTensor(const Graph& graph, NodeId object, const Fields& fields, Writer* out) {
  if (current_->has_properties) {
    out->Number(current_->properties);
  } else if (!PutProperties(graph, *fields[0], out)) {
    return false;
  }
  size_t ndim = kAnyCount;
  if (!PutDims(graph, object, *fields[1], out, &ndim)) return false;
  const size_t count = fields[2]->items().size();
  out->Number(count);
  for (size_t i = 0; i < count; ++i) {
    const Fields& chunk = current_->chunks[i];
    if (!PutDims(graph, object, *chunk[0], out, &ndim) ||
        !PutDims(graph, object, *chunk[1], out, &ndim)) {
      return false;
    }
  }
  return true;
}

bool FoldedRows::SortAll(const Graph& graph, uint32_t what, NodeId object,
                         std::span<const PlainValue> pairs) {
  if (!SortFields(graph, what, object, pairs, &current_->fields)) return false;
  if (what != kTensor) return true;
  const PlainValue& chunks = *current_->fields[2];
  if (chunks.kind != PlainValue::Kind::kList || chunks.items().size() > kMostChunks) return false;
  for (size_t i = 0; i < chunks.items().size(); ++i) {
    const PlainValue& chunk = chunks.items()[i];
    if (chunk.kind != PlainValue::Kind::kDictObject || Wants(graph, chunk.node) != kChunk ||
        !SortFields(graph, kChunk, object, chunk.items(), &current_->chunks[i])) {
      return false;
    }
  }
  return true;
}

bool FoldedRows::SortForm(const Graph& graph, uint32_t what, NodeId object,
                          const pickle::PlainState& state) {
  current_ = &sorted_[state.form % sorted_.size()];
  if (state.form != 0 && current_->form == state.form && current_->what == what) return true;
  current_->form = 0;
  current_->has_properties = false;
  if (!SortAll(graph, what, object, state.pairs)) return false;
  if (HasTextKey(state.pairs)) return true;
  if (what == kTensor) {
    const std::span<const PlainValue> chunks = current_->fields[2]->items();
    const auto named = [](const PlainValue& chunk) { return HasTextKey(chunk.items()); };
    if (std::any_of(chunks.begin(), chunks.end(), named)) return true;
  }
  current_->form = state.form;
  current_->what = what;
  return true;
}

bool FoldedRows::Fold(const Graph& graph, uint32_t what, NodeId object, NodeId state,
                      uint32_t* row) {
  if (graph.kind(state) != NodeKind::kDict) return false;
  const std::span<const NodeId> pairs = graph.Pairs(state);
  std::array<PlainValue, 2 * kMostFields> values;
  if (pairs.size() > values.size()) return false;
  for (size_t i = 0; i < pairs.size(); ++i) values[i].node = pairs[i];
  return FoldPlain(graph, what, object, {std::span(values).first(pairs.size())}, row);
}

bool FoldedRows::FoldPlain(const Graph& graph, uint32_t what, NodeId object,
                           const pickle::PlainState& state, uint32_t* row) {
  const size_t used = rows_.size() + properties_.size() * sizeof(PropertyNodes);
  if (used > std::min<size_t>(input_size_ + kFree, UINT32_MAX - 1)) return false;
  if (!SortForm(graph, what, object, state)) return false;
  const Fields& fields = current_->fields;
  Writer out;
  out.Number(what);
  bool folded = false;
  if (what == kChunk) folded = PutChunk(graph, object, fields, &out);
  if (what == kIndex) folded = PutIndex(graph, object, fields, &out);
  if (what == kStored) folded = PutStored(graph, object, fields, &out);
  if (what == kTensor) folded = PutTensor(graph, object, fields, &out);
  if (!folded) return false;
  *row = static_cast<uint32_t>(rows_.size());
  rows_.Append(out.data(), out.size());
  return true;
}

std::string_view FoldedRows::OwnText(uint32_t own) const {
  const uint64_t begin = own == 0 ? 0 : text_ends_[own - 1];
  return {texts_.data() + begin, static_cast<size_t>(text_ends_[own] - begin)};
}

bool FoldedRows::Read(uint32_t row, Chunk* out) const {
  Reader reader(rows_.data() + row);
  if (reader.Number() != kChunk) return false;
  reader.Dims(&out->offsets);
  reader.Dims(&out->sizes);
  return true;
}

bool FoldedRows::Read(uint32_t row, Tensor* out) const {
  Reader reader(rows_.data() + row);
  if (reader.Number() != kTensor) return false;
  out->properties = static_cast<uint32_t>(reader.Number());
  reader.Dims(&out->size);
  out->chunk_count = reader.Number();
  reader.Numbers(2 * out->size.size() * out->chunk_count, &out->boxes);
  return true;
}

bool FoldedRows::Peek(uint32_t row, TextRef* fqn, std::optional<uint64_t>* hint) const {
  Reader reader(rows_.data() + row);
  if (reader.Number() != kIndex) return false;
  *fqn = reader.Text();
  *hint = reader.Optional();
  return true;
}

bool FoldedRows::Read(uint32_t row, Index* out) const {
  Reader reader(rows_.data() + row);
  if (reader.Number() != kIndex) return false;
  out->fqn = reader.Text();
  out->hint = reader.Optional();
  out->has_offset = reader.Number() != 0;
  out->offset.clear();
  if (out->has_offset) reader.Dims(&out->offset);
  return true;
}

bool FoldedRows::Read(uint32_t row, Stored* out) const {
  Reader reader(rows_.data() + row);
  if (reader.Number() != kStored) return false;
  out->path = reader.Text();
  out->offset = reader.Number();
  out->length = reader.Number();
  const uint64_t crc = reader.Number();
  out->crc32 = crc == 0 ? std::nullopt : std::optional<uint32_t>(static_cast<uint32_t>(crc - 1));
  const uint64_t transforms = reader.Number();
  out->transforms = transforms == 0 ? kNoNode : static_cast<NodeId>(transforms - 1);
  return true;
}

}  // namespace dcp
