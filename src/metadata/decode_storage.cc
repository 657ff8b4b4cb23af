#include "metadata/decode_storage.h"

#include "metadata/trailer.h"
#include "metadata/transform_set.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;

constexpr size_t kAhead = 2 * 12;  // nodes of a dict: pairs looked at before they are read
constexpr size_t kLongText = 64;   // bytes; a lookup by such text is remembered by node

// Of an entry of bytes, or with a key that has no offsets.
std::optional<uint32_t> WithoutOffset(const Entry& entry, bool has_offset,
                                      std::optional<uint32_t> hinted) {
  if (entry.kind == EntryKind::kBytes) {
    return has_offset ? std::nullopt : std::optional<uint32_t>(0);
  }
  if (!hinted && entry.chunk_count() == 1) hinted = 0;
  return hinted;
}

}  // namespace

Status StorageDecoder::Read(NodeId node) {
  if (IsNone(graph_, node)) {
    Note("storage_data is absent: nothing can be loaded");
    return Status::Ok();
  }
  MappingView mapping = ViewMapping(graph_, node);
  if (!mapping.valid) {
    Note("storage_data is {}, which is not used", Describe(graph_, node));
    return Status::Ok();
  }
  own_entries_.resize(rows_.own_texts());
  own_files_.assign(rows_.own_texts(), Location::kMissing);
  for (size_t i = 0; i + 1 < mapping.pairs.size(); i += 2) {
    if (i + kAhead < mapping.pairs.size()) Prefetch(mapping.pairs[i + kAhead]);
    DCP_RETURN_IF_ERROR(ReadStored(mapping.pairs[i], mapping.pairs[i + 1]));
  }
  return Status::Ok();
}

// The keys are in the order of ranks and the chunks in that of names, so that each is elsewhere.
void StorageDecoder::Prefetch(NodeId key) const {
  std::optional<uint32_t> row = graph_.Folded(key);
  TextRef fqn;
  std::optional<uint64_t> hint;
  if (!row || !rows_.Peek(*row, &fqn, &hint) || fqn.node != kNoNode || !hint) return;
  const std::optional<std::optional<uint32_t>>& known = own_entries_[fqn.own];
  if (!known || !*known) return;
  const Entry& entry = out_.entries[**known];
  if (*hint >= entry.chunk_count()) return;
  __builtin_prefetch(entry.locations.data() + *hint, 1);
  __builtin_prefetch(entry.boxes.data() + 2 * entry.ndim() * *hint);
}

Status StorageDecoder::ReadStored(NodeId key, NodeId node) {
  std::optional<uint32_t> row = graph_.Folded(key);
  if (row && rows_.Read(*row, &index_)) {
    const TextRef fqn = index_.fqn;
    std::optional<uint32_t> id = fqn.node != kNoNode ? EntryOf(fqn.node) : EntryOfOwn(fqn.own);
    return ReadStored(id, TextOf(fqn), node, [&] { return ChunkOf(*id, index_); });
  }
  ObjectView index = ViewObject(graph_, key);
  NodeId fqn = Field(graph_, index, "fqn");
  if (fqn == kNoNode || !graph_.IsString(fqn)) {
    if (HasRoomForNote())
      Note("storage_data has the key {}, which is not used", Describe(graph_, key));
    return Status::Ok();
  }
  std::optional<uint32_t> id = EntryOf(fqn);
  return ReadStored(id, graph_.Text(fqn), node, [&] { return ChunkOf(*id, index); });
}

// `id` is the entry that the key names, if there is one, and chunk_of() its chunk.
template <typename ChunkOfKey>
Status StorageDecoder::ReadStored(std::optional<uint32_t> id, std::string_view name, NodeId node,
                                  const ChunkOfKey& chunk_of) {
  if (!id) {
    if (HasRoomForNote())
      Note("storage_data has an item of {}, which is not in state_dict_metadata",
           PrintableName(name));
    return Status::Ok();
  }
  DCP_ASSIGN_OR_RETURN(std::optional<Location> location, ReadLocation(node, name));
  if (!location) {
    if (HasRoomForNote())
      Note("the storage of {} is {}, which tells no file, offset and length", PrintableName(name),
           Describe(graph_, node));
    return Status::Ok();
  }
  DCP_ASSIGN_OR_RETURN(std::optional<uint32_t> chunk, chunk_of());
  if (!chunk) {
    if (HasRoomForNote())
      Note("storage_data has an item of {} that is none of its chunks", PrintableName(name));
    return Status::Ok();
  }
  out_.entries[*id].locations[*chunk] = *location;
  return Status::Ok();
}

std::string_view StorageDecoder::TextOf(TextRef text) const {
  return text.node != kNoNode ? graph_.Text(text.node) : rows_.OwnText(text.own);
}

std::optional<uint32_t> StorageDecoder::EntryOfOwn(uint32_t own) {
  std::optional<std::optional<uint32_t>>& known = own_entries_[own];
  if (!known) {
    std::optional<size_t> id = out_.Find(rows_.OwnText(own));
    known = id ? std::optional<uint32_t>(static_cast<uint32_t>(*id)) : std::nullopt;
  }
  return *known;
}

// Long names are looked up once a node, since many keys may share one.
std::optional<uint32_t> StorageDecoder::EntryOf(NodeId fqn) {
  if (fqn == last_fqn_) return last_entry_;
  // Mostly the keys are in the order of the entries.
  const uint32_t next = last_entry_ ? *last_entry_ + 1 : 0;
  if (next < state_.entry_names.size() && state_.entry_names[next] == fqn) {
    last_fqn_ = fqn;
    last_entry_ = next;
    return last_entry_;
  }
  std::string_view name = graph_.Text(fqn);
  bool remember = name.size() > kLongText;
  if (remember) {
    if (auto known = entry_nodes_.find(fqn); known != entry_nodes_.end()) return known->second;
  }
  last_fqn_ = fqn;
  last_entry_ = std::nullopt;
  if (std::optional<size_t> id = out_.Find(name)) last_entry_ = static_cast<uint32_t>(*id);
  if (remember) entry_nodes_.emplace(fqn, last_entry_);
  return last_entry_;
}

// Nothing when the value is no storage info; kCorrupt when its numbers make no sense.
Result<std::optional<Location>> StorageDecoder::ReadLocation(NodeId node, std::string_view name) {
  if (std::optional<uint32_t> row = graph_.Folded(node); row && rows_.Read(*row, &stored_)) {
    return LocationOf(stored_);
  }
  ObjectView object = ViewObject(graph_, node);
  NodeId path = Field(graph_, object, "relative_path");
  NodeId offset = Field(graph_, object, "offset");
  NodeId length = Field(graph_, object, "length");
  if (path == kNoNode || offset == kNoNode || length == kNoNode || !graph_.IsString(path)) {
    return std::optional<Location>();
  }
  Location location;
  for (auto [number, out] : {std::pair(offset, &location.offset), {length, &location.length}}) {
    NodeKind kind = graph_.kind(number);
    if (kind != NodeKind::kInt && kind != NodeKind::kBigInt) return std::optional<Location>();
    if (kind == NodeKind::kBigInt || graph_.AsInt(number) < 0) {
      return Error(Code::kCorrupt, "{}: the {} in its file is negative or past 2^63",
                   PrintableName(name), number == offset ? "offset" : "length")
          .WithDetail("tensor", PrintableName(name));
    }
    *out = static_cast<uint64_t>(graph_.AsInt(number));
  }
  if (location.offset + location.length > static_cast<uint64_t>(INT64_MAX)) {
    return Error(Code::kCorrupt, "{}: its item ends past 2^63 in its file", PrintableName(name))
        .WithDetail("tensor", PrintableName(name));
  }
  NodeId crc = Field(graph_, object, kItemCrc);
  if (crc != kNoNode) {
    if (graph_.kind(crc) != NodeKind::kInt || graph_.AsInt(crc) < 0 ||
        graph_.AsInt(crc) > int64_t{UINT32_MAX}) {
      return Error(Code::kCorrupt, "{}: the CRC32 of its item is {}, not one of 32 bits",
                   PrintableName(name), Describe(graph_, crc))
          .WithDetail("tensor", PrintableName(name));
    }
    location.crc32 = static_cast<uint32_t>(graph_.AsInt(crc));
    location.has_crc32 = true;
  }
  DCP_ASSIGN_OR_RETURN(location.file, FileOf(path));
  NodeId transforms = Field(graph_, object, "transform_descriptors");
  if (!IsNone(graph_, transforms)) {
    DCP_ASSIGN_OR_RETURN(std::optional<uint32_t> set, TransformSetOf(transforms));
    if (!set) return std::optional<Location>();
    location.transforms = *set;
  }
  return std::optional<Location>(location);
}

Result<std::optional<Location>> StorageDecoder::LocationOf(const FoldedRows::Stored& stored) {
  Location location;
  location.offset = stored.offset;
  location.length = stored.length;
  location.crc32 = stored.crc32.value_or(0);
  location.has_crc32 = stored.crc32.has_value();
  if (stored.path.node != kNoNode) {
    DCP_ASSIGN_OR_RETURN(location.file, FileOf(stored.path.node));
  } else {
    uint32_t& known = own_files_[stored.path.own];
    if (known == Location::kMissing) {
      DCP_ASSIGN_OR_RETURN(known, FileNamed(rows_.OwnText(stored.path.own)));
    }
    location.file = known;
  }
  if (stored.transforms != kNoNode) {
    DCP_ASSIGN_OR_RETURN(std::optional<uint32_t> set, TransformSetOf(stored.transforms));
    if (!set) return std::optional<Location>();
    location.transforms = *set;
  }
  return std::optional<Location>(location);
}

Result<uint32_t> StorageDecoder::FileOf(NodeId path) {
  if (path == last_path_) return last_file_;
  std::string_view text = graph_.Text(path);
  bool remember = text.size() > kLongText;
  if (remember) {
    if (auto known = file_nodes_.find(path); known != file_nodes_.end()) return known->second;
  }
  DCP_ASSIGN_OR_RETURN(uint32_t id, FileNamed(text));
  last_path_ = path;
  last_file_ = id;
  if (remember) file_nodes_.emplace(path, id);
  return id;
}

Result<uint32_t> StorageDecoder::FileNamed(std::string_view text) {
  uint32_t fresh = static_cast<uint32_t>(out_.files.size());
  uint32_t id = files_.FindOrAdd(SeededHash(text), fresh,
                                 [&](uint32_t other) { return out_.files[other] == text; });
  if (id == fresh) {
    DCP_RETURN_IF_ERROR(Charge(text.size(), &text_left_));
    out_.files.emplace_back(text);
  }
  return id;
}

Result<std::optional<uint32_t>> StorageDecoder::TransformSetOf(NodeId node) {
  if (auto known = transform_nodes_.find(node); known != transform_nodes_.end()) {
    return std::optional<uint32_t>(known->second);
  }
  if (!IsSequence(graph_, node)) return std::optional<uint32_t>();
  std::vector<std::string> set;
  for (NodeId item : graph_.Items(node)) {
    if (!graph_.IsString(item)) return std::optional<uint32_t>();
    DCP_RETURN_IF_ERROR(Charge(sizeof(std::string), &text_left_));
    DCP_ASSIGN_OR_RETURN(set.emplace_back(), Text(item));
  }
  uint32_t fresh = static_cast<uint32_t>(out_.transform_sets.size());
  uint32_t id = 0;
  if (!set.empty()) {
    id = transforms_.FindOrAdd(HashTransformSet(set), fresh,
                               [&](uint32_t other) { return out_.transform_sets[other] == set; });
    if (id == fresh) out_.transform_sets.push_back(std::move(set));
  }
  transform_nodes_.emplace(node, id);
  return std::optional<uint32_t>(id);
}

// The chunk of entry `id` that a key of storage_data names by its offsets; its hint says where to
// look first, and decides alone when there are no offsets.
Result<std::optional<uint32_t>> StorageDecoder::ChunkOf(uint32_t id,
                                                        const FoldedRows::Index& index) {
  const Entry& entry = out_.entries[id];
  std::optional<uint32_t> hinted;
  if (index.hint && *index.hint < entry.chunk_count()) {
    hinted = static_cast<uint32_t>(*index.hint);
  }
  if (entry.kind == EntryKind::kBytes || !index.has_offset) {
    return WithoutOffset(entry, index.has_offset, hinted);
  }
  if (index.offset.size() != entry.ndim()) return std::optional<uint32_t>();
  DCP_RETURN_IF_ERROR(MustAfford(index.offset.size()));
  return chunks_.Find(id, index.offset, hinted);
}

Result<std::optional<uint32_t>> StorageDecoder::ChunkOf(uint32_t id, const ObjectView& index) {
  const Entry& entry = out_.entries[id];
  NodeId offset = Field(graph_, index, "offset");
  NodeId hint = Field(graph_, index, "index");
  std::optional<uint32_t> hinted;
  if (hint != kNoNode && graph_.kind(hint) == NodeKind::kInt && graph_.AsInt(hint) >= 0 &&
      static_cast<uint64_t>(graph_.AsInt(hint)) < entry.chunk_count()) {
    hinted = static_cast<uint32_t>(graph_.AsInt(hint));
  }
  if (entry.kind == EntryKind::kBytes || IsNone(graph_, offset)) {
    return WithoutOffset(entry, !IsNone(graph_, offset), hinted);
  }
  NodeId tuple = SizeTuple(offset);
  if (!IsSequence(graph_, tuple) || graph_.Items(tuple).size() != entry.ndim()) {
    return std::optional<uint32_t>();
  }
  scratch_.clear();
  uint64_t kept = numbers_left_;  // nothing is kept of these
  DCP_ASSIGN_OR_RETURN(bool sound, AppendDims(offset, &scratch_));
  numbers_left_ = kept;
  if (!sound) return std::optional<uint32_t>();
  return chunks_.Find(id, scratch_, hinted);
}

Status StorageDecoder::MustAfford(uint64_t numbers) {
  uint64_t left = numbers_left_;
  return Charge(numbers, &left);
}

}  // namespace dcp
