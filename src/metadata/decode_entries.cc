#include "metadata/decode_entries.h"

#include <array>
#include <utility>

#include "base/large_pages.h"
#include "metadata/layouts.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;

Status CheckVolume(Dims sizes) {
  Result<int64_t> volume = NumElements(sizes);
  if (volume.ok()) return Status::Ok();
  return Error(Code::kCorrupt, "{}", volume.status().message());
}

Status CheckBox(Dims box, size_t number) {
  size_t ndim = box.size() / 2;
  for (size_t d = 0; d < ndim; ++d) {
    int64_t end;
    if (!CheckedAdd(box[d], box[ndim + d], &end)) {
      return Error(Code::kCorrupt, "chunk {} ends past 2^63", number);
    }
  }
  return CheckVolume(box.last(ndim));
}

}  // namespace

Status EntriesDecoder::Read(NodeId node) {
  MappingView mapping = ViewMapping(graph_, node);
  if (!mapping.valid) {
    return Error(Code::kCorrupt, "state_dict_metadata is {}, not a dict", Describe(graph_, node));
  }
  out_.entries.reserve(mapping.pairs.size() / 2);
  PreferLargePages(out_.entries.data(), out_.entries.capacity() * sizeof(Entry));
  names_.Reserve(mapping.pairs.size() / 2);
  state_.entry_names.reserve(mapping.pairs.size() / 2);
  properties_.resize(rows_.property_count());
  for (size_t i = 0; i + 1 < mapping.pairs.size(); i += 2) {
    NodeId key = mapping.pairs[i];
    if (!graph_.IsString(key)) {
      if (HasRoomForNote())
        Note("state_dict_metadata has the key {}, which is left out", Describe(graph_, key));
      continue;
    }
    DCP_RETURN_IF_ERROR(ReadEntry(key, mapping.pairs[i + 1]));
  }
  out_.SetIndex(std::move(names_));
  return Status::Ok();
}

Status EntriesDecoder::ReadEntry(NodeId key, NodeId node) {
  const std::optional<uint32_t> row = graph_.Folded(node);
  const bool folded = row && rows_.Read(*row, &tensor_);
  ObjectView object;
  bool tensor = folded;
  if (!folded) {
    object = ViewObject(graph_, node);
    tensor = IsInstance(graph_, object, "TensorStorageMetadata");
    if (!tensor && !IsInstance(graph_, object, "BytesStorageMetadata")) {
      if (HasRoomForNote())
        Note("the entry {} is {}: it is left out", PrintableName(graph_.Text(key)),
             Describe(graph_, node));
      return Status::Ok();
    }
  }
  const auto fresh = static_cast<uint32_t>(out_.entries.size());
  Entry& entry = out_.entries.emplace_back();
  const std::string_view name = graph_.Text(key);
  DCP_RETURN_IF_ERROR(Charge(name.size(), &text_left_));
  entry.name = name;
  if (tensor) {
    entry.kind = EntryKind::kTensor;
    const Status status = folded ? ReadTensor(tensor_, &entry) : ReadTensor(object, &entry);
    if (!status.ok()) {
      return status.WithContext(PrintableName(entry.name))
          .WithDetail("tensor", PrintableName(entry.name));
    }
  } else {
    entry.kind = EntryKind::kBytes;
    entry.locations.resize(1);
  }
  // As in a Python dict, a repeated key keeps its place and takes the last value.
  uint32_t id = names_.FindOrAdd(SeededHash(name), fresh, [&](uint32_t other) {
    return out_.entries[other].name == entry.name;
  });
  if (id == fresh) {
    state_.entry_names.push_back(key);
  } else {
    out_.entries[id] = std::move(entry);
    out_.entries.pop_back();
  }
  return Status::Ok();
}

Status EntriesDecoder::ReadTensor(const ObjectView& object, Entry* entry) {
  DCP_RETURN_IF_ERROR(ReadProperties(Field(graph_, object, "properties"), entry));
  DCP_ASSIGN_OR_RETURN(bool sound, AppendDims(Field(graph_, object, "size"), &entry->size));
  if (!sound) return Error(Code::kCorrupt, "the size is not a torch.Size of numbers >= 0");
  DCP_RETURN_IF_ERROR(CheckVolume(entry->size));
  NodeId chunks = Field(graph_, object, "chunks");
  if (!IsSequence(graph_, chunks)) {
    return Error(Code::kCorrupt, "the chunks are {}, not a list", Describe(graph_, chunks));
  }
  std::span<const NodeId> items = graph_.Items(chunks);
  DCP_RETURN_IF_ERROR(MakeRoom(items.size(), entry));
  for (size_t i = 0; i < items.size(); ++i) {
    if (std::optional<uint32_t> row = graph_.Folded(items[i]); row && rows_.Read(*row, &chunk_)) {
      DCP_RETURN_IF_ERROR(ReadChunk(chunk_, i, entry));
      continue;
    }
    ObjectView chunk = ViewObject(graph_, items[i]);
    DCP_ASSIGN_OR_RETURN(bool offsets, AppendDims(Field(graph_, chunk, "offsets"), &entry->boxes));
    const bool fit = entry->boxes.size() == entry->ndim() * (2 * i + 1);
    DCP_ASSIGN_OR_RETURN(bool sizes, AppendDims(Field(graph_, chunk, "sizes"), &entry->boxes));
    if (!offsets || !sizes) {
      return Error(Code::kCorrupt, "chunk {} ({}) lacks offsets and sizes of numbers >= 0", i,
                   Describe(graph_, items[i]));
    }
    DCP_RETURN_IF_ERROR(CheckLast(fit, i, *entry));
  }
  entry->locations.resize(items.size());
  return Status::Ok();
}

Status EntriesDecoder::ReadTensor(const FoldedRows::Tensor& tensor, Entry* entry) {
  DCP_RETURN_IF_ERROR(ReadFoldedProperties(tensor.properties, entry));
  const size_t ndim = tensor.size.size(), count = tensor.chunk_count;
  DCP_RETURN_IF_ERROR(Charge(ndim, &numbers_left_));
  DCP_RETURN_IF_ERROR(CheckVolume(tensor.size));
  DCP_RETURN_IF_ERROR(Charge(count * 4, &numbers_left_));
  for (size_t i = 0; i < count; ++i) {
    DCP_RETURN_IF_ERROR(Charge(2 * ndim, &numbers_left_));
    DCP_RETURN_IF_ERROR(CheckBox(Dims(tensor.boxes).subspan(2 * ndim * i, 2 * ndim), i));
  }
  entry->size = tensor.size;
  entry->boxes = tensor.boxes;
  entry->locations.resize(count);
  return Status::Ok();
}

Status EntriesDecoder::MakeRoom(size_t chunks, Entry* entry) {
  DCP_RETURN_IF_ERROR(Charge(chunks * 4, &numbers_left_));
  // Every chunk is charged as it is read: reserve no more than is left.
  const size_t numbers = 2 * entry->ndim() * chunks;
  if (numbers <= numbers_left_) entry->boxes.reserve(numbers);
  return Status::Ok();
}

Status EntriesDecoder::ReadChunk(const FoldedRows::Chunk& chunk, size_t number, Entry* entry) {
  DCP_RETURN_IF_ERROR(AppendNumbers(chunk.offsets, &entry->boxes));
  const bool fit = entry->boxes.size() == entry->ndim() * (2 * number + 1);
  DCP_RETURN_IF_ERROR(AppendNumbers(chunk.sizes, &entry->boxes));
  return CheckLast(fit, number, *entry);
}

// `offsets_fit`: there are as many offsets as dimensions.
Status EntriesDecoder::CheckLast(bool offsets_fit, size_t number, const Entry& entry) {
  const size_t ndim = entry.ndim();
  if (!offsets_fit || entry.boxes.size() != ndim * (2 * number + 2)) {
    return Error(Code::kCorrupt, "chunk {} has not the tensor's {} dimensions", number, ndim);
  }
  return CheckBox(Dims(entry.boxes).last(2 * ndim), number);
}

Status EntriesDecoder::ReadFoldedProperties(uint32_t id, Entry* entry) {
  std::optional<TensorProperties>& known = properties_[id];
  if (known) {
    entry->properties = *known;
    return Status::Ok();
  }
  const FoldedRows::PropertyNodes& nodes = rows_.Properties(id);
  const size_t notes = out_.notes.size() + state_.notes_left_out;
  DCP_RETURN_IF_ERROR(nodes.whole != kNoNode ? ReadProperties(nodes.whole, entry)
                                             : ReadPropertyParts(nodes.parts, entry));
  if (entry->unknown_dtype.empty() && notes == out_.notes.size() + state_.notes_left_out) {
    known = entry->properties;
  }
  return Status::Ok();
}

Status EntriesDecoder::ReadProperties(NodeId node, Entry* entry) {
  if (node == kNoNode) return Error(Code::kCorrupt, "there are no properties");
  ObjectView object = ViewObject(graph_, node);
  if (object && object.state != kNoNode && graph_.kind(object.state) == NodeKind::kTuple &&
      graph_.Items(object.state).size() >= 5) {
    return ReadPropertyParts(graph_.Items(object.state).first<5>(), entry);
  }
  std::array<NodeId, 5> parts;
  constexpr std::string_view kParts[] = {"dtype", "layout", "requires_grad", "memory_format",
                                         "pin_memory"};
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = Field(graph_, object, kParts[i]);
  if (parts[0] == kNoNode) {
    return Error(Code::kCorrupt, "the properties ({}) do not tell a dtype", Describe(graph_, node));
  }
  return ReadPropertyParts(parts, entry);
}

Status EntriesDecoder::ReadPropertyParts(std::span<const NodeId, 5> parts, Entry* entry) {
  const auto [dtype, layout, requires_grad, format, pin] =
      std::array<NodeId, 5>{parts[0], parts[1], parts[2], parts[3], parts[4]};
  DCP_RETURN_IF_ERROR(ReadDType(dtype, entry));
  entry->properties.requires_grad = IsTrue(requires_grad);
  entry->properties.pin_memory = IsTrue(pin);
  ReadLayout(layout, &entry->properties);
  ReadMemoryFormat(format, &entry->properties);
  return Status::Ok();
}

Status EntriesDecoder::ReadDType(NodeId node, Entry* entry) {
  if (graph_.kind(node) == NodeKind::kGlobal && graph_.Module(node) == "torch") {
    std::string_view name = graph_.Name(node);
    if (std::optional<DType> known = DTypeFromName(name)) {
      entry->properties.dtype = *known;
      return Status::Ok();
    }
    DCP_RETURN_IF_ERROR(Charge(name.size(), &text_left_));
    entry->unknown_dtype = name;
    return Status::Ok();
  }
  entry->unknown_dtype = Describe(graph_, node);
  return Charge(entry->unknown_dtype.size(), &text_left_);
}

bool EntriesDecoder::IsTrue(NodeId node) const {
  return node != kNoNode && graph_.kind(node) == NodeKind::kBool && graph_.AsBool(node);
}

void EntriesDecoder::ReadLayout(NodeId node, TensorProperties* properties) {
  if (node == kNoNode) return;
  ObjectView call = ViewObject(graph_, node);
  if (IsInstance(graph_, call, "_get_layout") && call.arguments.size() == 1 &&
      graph_.IsString(call.arguments[0])) {
    std::string_view layout = graph_.Text(call.arguments[0]);
    if (layout == "torch.strided") return;
    if (IsKnownLayout(layout)) {
      properties->layout = layout;
      return;
    }
  }
  if (HasRoomForNote())
    Note("a tensor's layout is {}, taken as torch.strided", Describe(graph_, node));
}

void EntriesDecoder::ReadMemoryFormat(NodeId node, TensorProperties* properties) {
  if (node == kNoNode) return;
  ObjectView call = ViewObject(graph_, node);
  NodeId number = call && call.arguments.size() == 1 ? call.arguments[0] : node;
  if (graph_.kind(number) == NodeKind::kInt && graph_.AsInt(number) >= 0 &&
      graph_.AsInt(number) <= 2) {
    properties->memory_format = static_cast<MemoryFormat>(graph_.AsInt(number));
    return;
  }
  if (graph_.kind(node) == NodeKind::kGlobal && graph_.Module(node) == "torch") {
    std::string_view name = graph_.Name(node);
    if (name == "contiguous_format") return;
    if (name == "channels_last") {
      properties->memory_format = MemoryFormat::kChannelsLast;
      return;
    }
    if (name == "preserve_format") {
      properties->memory_format = MemoryFormat::kPreserve;
      return;
    }
  }
  if (HasRoomForNote())
    Note("a tensor's memory format is {}, taken as contiguous", Describe(graph_, node));
}

}  // namespace dcp
