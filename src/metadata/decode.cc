#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "metadata/codec.h"
#include "metadata/folded_rows.h"
#include "metadata/id_table.h"
#include "metadata/layouts.h"
#include "metadata/objects.h"
#include "metadata/trailer.h"
#include "metadata/transform_set.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::Graph;
using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;

// Pickles may name one node many times, so that what they describe can be far larger than they
// are. Numbers and text taken over are charged against the file's own size.
constexpr uint64_t kNumbersPerByte = 16;
constexpr uint64_t kTextPerByte = 16;
constexpr uint64_t kFree = 1 << 16;
constexpr size_t kMaxNotes = 100;
constexpr size_t kFewChunks = 8;   // searched in turn
constexpr size_t kAhead = 2 * 12;  // nodes of a dict: pairs looked at before they are read
constexpr size_t kLongText = 64;   // bytes; a lookup by such text is remembered by node

class Decoder {
 public:
  Decoder(const Graph& graph, const FoldedRows& rows, uint64_t file_size)
      : graph_(graph),
        rows_(rows),
        numbers_left_(kFree + kNumbersPerByte * file_size),
        text_left_(kFree + kTextPerByte * file_size) {}

  // `announced` becomes true when the object says that a trailer follows.
  Result<Metadata> Run(bool* announced) {
    ObjectView root = ViewObject(graph_, graph_.root());
    if (!IsInstance(graph_, root, "Metadata")) {
      return Error(Code::kCorrupt, "the file holds {}, not a Metadata object",
                   Describe(graph_, graph_.root()));
    }
    *announced = Field(graph_, root, kAnnouncement) != kNoNode;
    DCP_RETURN_IF_ERROR(ReadEntries(Field(graph_, root, "state_dict_metadata")));
    out_.BuildIndex();
    DCP_RETURN_IF_ERROR(ReadStorage(Field(graph_, root, "storage_data")));
    DCP_RETURN_IF_ERROR(ReadPlannerData(Field(graph_, root, "planner_data")));
    DCP_RETURN_IF_ERROR(ReadStorageMeta(Field(graph_, root, "storage_meta")));
    if (NodeId version = Field(graph_, root, "version"); !IsNone(graph_, version)) {
      if (graph_.IsString(version)) {
        DCP_ASSIGN_OR_RETURN(out_.version, Text(version));
      } else {
        Note("version is {}", Describe(graph_, version));
      }
    }
    NoteUnknownFields(root);
    if (notes_left_out_ > 0) out_.notes.push_back(fmt::format("and {} more", notes_left_out_));
    return std::move(out_);
  }

 private:
  // ---- what every part needs

  template <typename... Args>
  void Note(fmt::format_string<Args...> format, Args&&... args) {
    out_.notes.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  // To be asked before a note of which there may be many; counts the refused ones.
  bool HasRoomForNote() {
    if (out_.notes.size() < kMaxNotes) return true;
    ++notes_left_out_;
    return false;
  }

  Status Charge(uint64_t amount, uint64_t* left) {
    if (amount > *left) {
      return Error(Code::kLimit, "the file describes far more than its own size can justify");
    }
    *left -= amount;
    return Status::Ok();
  }

  Result<std::string> Text(NodeId node) {
    std::string_view text = graph_.Text(node);
    DCP_RETURN_IF_ERROR(Charge(text.size(), &text_left_));
    return std::string(text);
  }

  // The tuple inside a torch.Size, or the node itself.
  NodeId SizeTuple(NodeId node) {
    NodeKind kind = graph_.kind(node);
    if (kind != NodeKind::kReduce && kind != NodeKind::kNewObject) return node;
    NodeId callee = graph_.Callee(node);
    if (callee != size_class_) {
      if (graph_.kind(callee) != NodeKind::kGlobal || !graph_.IsGlobal(callee, "torch", "Size")) {
        return kNoNode;
      }
      size_class_ = callee;
    }
    NodeId arguments = graph_.Arguments(node);
    if (graph_.kind(arguments) != NodeKind::kTuple) return kNoNode;
    std::span<const NodeId> items = graph_.Items(arguments);
    return items.size() == 1 ? items[0] : kNoNode;
  }

  // Appends the numbers of a torch.Size, tuple or list; false when it is something else or has a
  // number that is negative or does not fit. kLimit for more than kMaxDims.
  Result<bool> AppendDims(NodeId node, std::vector<int64_t>* out) {
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

  // As AppendDims, of a folded row.
  Status AppendNumbers(Dims numbers, std::vector<int64_t>* out) {
    DCP_RETURN_IF_ERROR(Charge(numbers.size(), &numbers_left_));
    out->insert(out->end(), numbers.begin(), numbers.end());
    return Status::Ok();
  }

  // ---- state_dict_metadata

  Status ReadEntries(NodeId node) {
    MappingView mapping = ViewMapping(graph_, node);
    if (!mapping.valid) {
      return Error(Code::kCorrupt, "state_dict_metadata is {}, not a dict", Describe(graph_, node));
    }
    out_.entries.reserve(mapping.pairs.size() / 2);
    names_.Reserve(mapping.pairs.size() / 2);
    for (size_t i = 0; i + 1 < mapping.pairs.size(); i += 2) {
      NodeId key = mapping.pairs[i];
      if (!graph_.IsString(key)) {
        if (HasRoomForNote())
          Note("state_dict_metadata has the key {}, which is left out", Describe(graph_, key));
        continue;
      }
      DCP_RETURN_IF_ERROR(ReadEntry(key, mapping.pairs[i + 1]));
    }
    return Status::Ok();
  }

  Status ReadEntry(NodeId key, NodeId node) {
    ObjectView object = ViewObject(graph_, node);
    bool tensor = IsInstance(graph_, object, "TensorStorageMetadata");
    if (!tensor && !IsInstance(graph_, object, "BytesStorageMetadata")) {
      if (HasRoomForNote())
        Note("the entry {} is {}: it is left out", PrintableName(graph_.Text(key)),
             Describe(graph_, node));
      return Status::Ok();
    }
    Entry entry;
    DCP_ASSIGN_OR_RETURN(entry.name, Text(key));
    if (tensor) {
      entry.kind = EntryKind::kTensor;
      if (Status status = ReadTensor(object, &entry); !status.ok()) {
        return status.WithContext(PrintableName(entry.name))
            .WithDetail("tensor", PrintableName(entry.name));
      }
    } else {
      entry.kind = EntryKind::kBytes;
      entry.locations.resize(1);
    }
    // As in a Python dict, a repeated key keeps its place and takes the last value.
    uint32_t fresh = static_cast<uint32_t>(out_.entries.size());
    uint32_t id = names_.FindOrAdd(SeededHash(entry.name), fresh, [&](uint32_t other) {
      return out_.entries[other].name == entry.name;
    });
    if (id == fresh) {
      out_.entries.push_back(std::move(entry));
    } else {
      out_.entries[id] = std::move(entry);
    }
    return Status::Ok();
  }

  Status ReadTensor(const ObjectView& object, Entry* entry) {
    DCP_RETURN_IF_ERROR(ReadProperties(Field(graph_, object, "properties"), entry));
    DCP_ASSIGN_OR_RETURN(bool sound, AppendDims(Field(graph_, object, "size"), &entry->size));
    if (!sound) return Error(Code::kCorrupt, "the size is not a torch.Size of numbers >= 0");
    DCP_RETURN_IF_ERROR(CheckVolume(entry->size));
    NodeId chunks = Field(graph_, object, "chunks");
    if (!IsSequence(graph_, chunks)) {
      return Error(Code::kCorrupt, "the chunks are {}, not a list", Describe(graph_, chunks));
    }
    std::span<const NodeId> items = graph_.Items(chunks);
    DCP_RETURN_IF_ERROR(Charge(items.size() * 4, &numbers_left_));
    size_t ndim = entry->ndim();
    // Every chunk is charged as it is read: reserve no more than is left.
    if (2 * ndim * items.size() <= numbers_left_) entry->boxes.reserve(2 * ndim * items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      bool offsets = true, sizes = true, count;
      if (std::optional<uint32_t> row = graph_.Folded(items[i]); row && rows_.Read(*row, &chunk_)) {
        DCP_RETURN_IF_ERROR(AppendNumbers(chunk_.offsets, &entry->boxes));
        count = entry->boxes.size() == ndim * (2 * i + 1);
        DCP_RETURN_IF_ERROR(AppendNumbers(chunk_.sizes, &entry->boxes));
      } else {
        ObjectView chunk = ViewObject(graph_, items[i]);
        DCP_ASSIGN_OR_RETURN(offsets, AppendDims(Field(graph_, chunk, "offsets"), &entry->boxes));
        count = entry->boxes.size() == ndim * (2 * i + 1);
        DCP_ASSIGN_OR_RETURN(sizes, AppendDims(Field(graph_, chunk, "sizes"), &entry->boxes));
      }
      if (!offsets || !sizes) {
        return Error(Code::kCorrupt, "chunk {} ({}) lacks offsets and sizes of numbers >= 0", i,
                     Describe(graph_, items[i]));
      }
      if (!count || entry->boxes.size() != ndim * (2 * i + 2)) {
        return Error(Code::kCorrupt, "chunk {} has not the tensor's {} dimensions", i, ndim);
      }
      DCP_RETURN_IF_ERROR(CheckChunk(Dims(entry->boxes).last(2 * ndim), i));
    }
    entry->locations.resize(items.size());
    return Status::Ok();
  }

  static Status CheckVolume(Dims sizes) {
    Result<int64_t> volume = NumElements(sizes);
    if (volume.ok()) return Status::Ok();
    return Error(Code::kCorrupt, "{}", volume.status().message());
  }

  static Status CheckChunk(Dims box, size_t number) {
    size_t ndim = box.size() / 2;
    for (size_t d = 0; d < ndim; ++d) {
      int64_t end;
      if (!CheckedAdd(box[d], box[ndim + d], &end)) {
        return Error(Code::kCorrupt, "chunk {} ends past 2^63", number);
      }
    }
    return CheckVolume(box.last(ndim));
  }

  Status ReadProperties(NodeId node, Entry* entry) {
    if (node == kNoNode) return Error(Code::kCorrupt, "there are no properties");
    ObjectView object = ViewObject(graph_, node);
    NodeId dtype = kNoNode, layout = kNoNode, requires_grad = kNoNode, format = kNoNode,
           pin = kNoNode;
    if (object && object.state != kNoNode && graph_.kind(object.state) == NodeKind::kTuple &&
        graph_.Items(object.state).size() >= 5) {
      std::span<const NodeId> state = graph_.Items(object.state);
      dtype = state[0];
      layout = state[1];
      requires_grad = state[2];
      format = state[3];
      pin = state[4];
    } else {
      dtype = Field(graph_, object, "dtype");
      layout = Field(graph_, object, "layout");
      requires_grad = Field(graph_, object, "requires_grad");
      format = Field(graph_, object, "memory_format");
      pin = Field(graph_, object, "pin_memory");
    }
    if (dtype == kNoNode) {
      return Error(Code::kCorrupt, "the properties ({}) do not tell a dtype",
                   Describe(graph_, node));
    }
    DCP_RETURN_IF_ERROR(ReadDType(dtype, entry));
    entry->properties.requires_grad = IsTrue(requires_grad);
    entry->properties.pin_memory = IsTrue(pin);
    ReadLayout(layout, &entry->properties);
    ReadMemoryFormat(format, &entry->properties);
    return Status::Ok();
  }

  Status ReadDType(NodeId node, Entry* entry) {
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

  bool IsTrue(NodeId node) const {
    return node != kNoNode && graph_.kind(node) == NodeKind::kBool && graph_.AsBool(node);
  }

  void ReadLayout(NodeId node, TensorProperties* properties) {
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

  void ReadMemoryFormat(NodeId node, TensorProperties* properties) {
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

  // ---- storage_data

  Status ReadStorage(NodeId node) {
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
  void Prefetch(NodeId key) const {
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

  Status ReadStored(NodeId key, NodeId node) {
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
  Status ReadStored(std::optional<uint32_t> id, std::string_view name, NodeId node,
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

  std::string_view TextOf(TextRef text) const {
    return text.node != kNoNode ? graph_.Text(text.node) : rows_.OwnText(text.own);
  }

  std::optional<uint32_t> EntryOfOwn(uint32_t own) {
    std::optional<std::optional<uint32_t>>& known = own_entries_[own];
    if (!known) {
      std::optional<size_t> id = out_.Find(rows_.OwnText(own));
      known = id ? std::optional<uint32_t>(static_cast<uint32_t>(*id)) : std::nullopt;
    }
    return *known;
  }

  // Long names are looked up once a node, since many keys may share one.
  std::optional<uint32_t> EntryOf(NodeId fqn) {
    if (fqn == last_fqn_) return last_entry_;
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
  Result<std::optional<Location>> ReadLocation(NodeId node, std::string_view name) {
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

  Result<std::optional<Location>> LocationOf(const FoldedRows::Stored& stored) {
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

  Result<uint32_t> FileOf(NodeId path) {
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

  Result<uint32_t> FileNamed(std::string_view text) {
    uint32_t fresh = static_cast<uint32_t>(out_.files.size());
    uint32_t id = files_.FindOrAdd(SeededHash(text), fresh,
                                   [&](uint32_t other) { return out_.files[other] == text; });
    if (id == fresh) {
      DCP_RETURN_IF_ERROR(Charge(text.size(), &text_left_));
      out_.files.emplace_back(text);
    }
    return id;
  }

  Result<std::optional<uint32_t>> TransformSetOf(NodeId node) {
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
  Result<std::optional<uint32_t>> ChunkOf(uint32_t id, const FoldedRows::Index& index) {
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
    return FindChunk(id, index.offset, hinted);
  }

  Result<std::optional<uint32_t>> ChunkOf(uint32_t id, const ObjectView& index) {
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
    return FindChunk(id, scratch_, hinted);
  }

  Status MustAfford(uint64_t numbers) {
    uint64_t left = numbers_left_;
    return Charge(numbers, &left);
  }

  // Of an entry of bytes, or with a key that has no offsets.
  static std::optional<uint32_t> WithoutOffset(const Entry& entry, bool has_offset,
                                               std::optional<uint32_t> hinted) {
    if (entry.kind == EntryKind::kBytes) {
      return has_offset ? std::nullopt : std::optional<uint32_t>(0);
    }
    if (!hinted && entry.chunk_count() == 1) hinted = 0;
    return hinted;
  }

  std::optional<uint32_t> FindChunk(uint32_t id, Dims wanted, std::optional<uint32_t> hinted) {
    const Entry& entry = out_.entries[id];
    auto matches = [&](size_t chunk) {
      const Dims offsets = entry.chunk(chunk).offsets;
      for (size_t d = 0; d < wanted.size(); ++d) {  // few: memcmp would take longer
        if (wanted[d] != offsets[d]) return false;
      }
      return true;
    };
    if (hinted && matches(*hinted)) return hinted;
    size_t count = entry.chunk_count();
    if (count <= kFewChunks) {
      for (uint32_t chunk = 0; chunk < count; ++chunk) {
        if (matches(chunk)) return chunk;
      }
      return std::nullopt;
    }
    return FindSorted(id, wanted);
  }

  // Looks for `wanted` among the chunks of a large entry, which are sorted once.
  std::optional<uint32_t> FindSorted(uint32_t id, Dims wanted) {
    const Entry& entry = out_.entries[id];
    std::vector<uint32_t>& order = sorted_[id];
    auto less = [](Dims a, Dims b) {
      return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    };
    if (order.empty()) {
      order.resize(entry.chunk_count());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        return less(entry.chunk(a).offsets, entry.chunk(b).offsets);
      });
    }
    auto at = std::lower_bound(order.begin(), order.end(), wanted, [&](uint32_t chunk, Dims value) {
      return less(entry.chunk(chunk).offsets, value);
    });
    if (at == order.end() || less(wanted, entry.chunk(*at).offsets)) return std::nullopt;
    return *at;
  }

  // ---- planner_data, storage_meta, the rest

  Status ReadPlannerData(NodeId node) {
    if (IsNone(graph_, node)) return Status::Ok();
    MappingView mapping = ViewMapping(graph_, node);
    if (!mapping.valid) {
      Note("planner_data is {}, which is not used", Describe(graph_, node));
      return Status::Ok();
    }
    auto& data = out_.planner_data.emplace();
    data.reserve(mapping.pairs.size() / 2);
    IdTable seen;
    for (size_t i = 0; i + 1 < mapping.pairs.size(); i += 2) {
      NodeId key = mapping.pairs[i];
      Path path;
      bool sound = false;
      if (graph_.IsString(key)) {
        DCP_ASSIGN_OR_RETURN(sound, ReadPath(mapping.pairs[i + 1], &path));
      }
      if (!sound) {
        if (HasRoomForNote())
          Note("planner_data has {} for {}, which is not used",
               Describe(graph_, mapping.pairs[i + 1]),
               graph_.IsString(key) ? PrintableName(graph_.Text(key)) : Describe(graph_, key));
        continue;
      }
      std::string_view name = graph_.Text(key);
      DCP_RETURN_IF_ERROR(Charge(name.size(), &text_left_));
      uint32_t fresh = static_cast<uint32_t>(data.size());
      uint32_t id = seen.FindOrAdd(SeededHash(name), fresh,
                                   [&](uint32_t other) { return data[other].first == name; });
      if (id != fresh) {
        data[id].second = std::move(path);
        continue;
      }
      data.emplace_back(std::string(name), std::move(path));
    }
    return Status::Ok();
  }

  Result<bool> ReadPath(NodeId node, Path* path) {
    if (!IsSequence(graph_, node)) return false;
    std::span<const NodeId> items = graph_.Items(node);
    if (items.empty()) return false;
    DCP_RETURN_IF_ERROR(Charge(items.size() * (sizeof(PathElement) / 8), &numbers_left_));
    path->reserve(items.size());
    for (NodeId item : items) {
      if (graph_.IsString(item)) {
        DCP_ASSIGN_OR_RETURN(std::string text, Text(item));
        path->emplace_back(std::move(text));
      } else if (graph_.kind(item) == NodeKind::kInt) {
        path->emplace_back(graph_.AsInt(item));
      } else {
        return false;
      }
    }
    return true;
  }

  Status ReadStorageMeta(NodeId node) {
    if (IsNone(graph_, node)) return Status::Ok();
    ObjectView object = ViewObject(graph_, node);
    if (!IsInstance(graph_, object, "StorageMeta")) {
      Note("storage_meta is {}, which is not used", Describe(graph_, node));
      return Status::Ok();
    }
    StorageMeta& meta = out_.storage_meta.emplace();
    NodeId id = Field(graph_, object, "checkpoint_id");
    if (!IsNone(graph_, id)) {
      DCP_ASSIGN_OR_RETURN(meta.checkpoint_id, PathText(id));
      if (!meta.checkpoint_id) Note("checkpoint_id is {}, which is not used", Describe(graph_, id));
    }
    for (auto [field, out] : {std::pair(std::string_view("save_id"), &meta.save_id),
                              {std::string_view("load_id"), &meta.load_id}}) {
      NodeId value = Field(graph_, object, field);
      if (IsNone(graph_, value)) continue;
      if (graph_.IsString(value)) {
        DCP_ASSIGN_OR_RETURN(*out, Text(value));
      } else {
        Note("{} is {}, which is not used", field, Describe(graph_, value));
      }
    }
    NodeId modules = Field(graph_, object, "modules");
    if (IsNone(graph_, modules)) return Status::Ok();
    if (!IsSequence(graph_, modules)) {
      Note("modules is {}, which is not used", Describe(graph_, modules));
      return Status::Ok();
    }
    for (NodeId item : graph_.Items(modules)) {
      if (!graph_.IsString(item)) {
        if (HasRoomForNote()) Note("modules has {}, which is not used", Describe(graph_, item));
        continue;
      }
      DCP_RETURN_IF_ERROR(Charge(sizeof(std::string), &text_left_));
      DCP_ASSIGN_OR_RETURN(meta.modules.emplace_back(), Text(item));
    }
    return Status::Ok();
  }

  // A string, or a path of pathlib: its parts, or (3.13) the whole in one.
  Result<std::optional<std::string>> PathText(NodeId node) {
    if (graph_.IsString(node)) {
      DCP_ASSIGN_OR_RETURN(std::string text, Text(node));
      return std::optional<std::string>(std::move(text));
    }
    ObjectView object = ViewObject(graph_, node);
    if (!object || !graph_.Module(object.type).starts_with("pathlib")) {
      return std::optional<std::string>();
    }
    bool windows = graph_.Name(object.type).find("Windows") != std::string_view::npos;
    char separator = windows ? '\\' : '/';
    std::string joined;
    for (NodeId part : object.arguments) {
      if (!graph_.IsString(part)) return std::optional<std::string>();
      DCP_RETURN_IF_ERROR(Charge(graph_.Text(part).size() + 1, &text_left_));
      if (!joined.empty() && joined.back() != separator) joined.push_back(separator);
      joined += graph_.Text(part);
    }
    return std::optional<std::string>(joined.empty() ? "." : std::move(joined));
  }

  void NoteUnknownFields(const ObjectView& root) {
    if (root.state == kNoNode || graph_.kind(root.state) != NodeKind::kDict) return;
    constexpr std::string_view kKnown[] = {"state_dict_metadata", "planner_data", "storage_data",
                                           "storage_meta",        "version",      kAnnouncement};
    std::span<const NodeId> pairs = graph_.Pairs(root.state);
    for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
      std::string_view name = graph_.IsString(pairs[i]) ? graph_.Text(pairs[i]) : "(not a string)";
      if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown)) {
        if (HasRoomForNote())
          Note("the field {} is not known: {}", PrintableName(name),
               Describe(graph_, pairs[i + 1]));
      }
    }
  }

  const Graph& graph_;
  const FoldedRows& rows_;
  Metadata out_;
  uint64_t numbers_left_;
  uint64_t text_left_;
  size_t notes_left_out_ = 0;
  IdTable names_;                // entries
  IdTable files_;                // out_.files
  IdTable transforms_;           // out_.transform_sets
  NodeId size_class_ = kNoNode;  // torch.Size, as last seen
  NodeId last_path_ = kNoNode;
  uint32_t last_file_ = 0;
  NodeId last_fqn_ = kNoNode;
  std::optional<uint32_t> last_entry_;
  std::unordered_map<NodeId, std::optional<uint32_t>> entry_nodes_;
  std::unordered_map<NodeId, uint32_t> file_nodes_;
  std::unordered_map<NodeId, uint32_t> transform_nodes_;
  std::unordered_map<uint32_t, std::vector<uint32_t>> sorted_;       // entry -> chunks by offsets
  std::vector<std::optional<std::optional<uint32_t>>> own_entries_;  // by FoldedRows' texts
  std::vector<uint32_t> own_files_;                                  // likewise
  Shape scratch_;
  FoldedRows::Chunk chunk_;
  FoldedRows::Index index_;
  FoldedRows::Stored stored_;
};

// `pages` is null, or holds `bytes`, which are then given back while they are read.
Result<Metadata> Decode(Bytes bytes, PageBuffer* pages, Folding folding) {
  bool trailer = EndsInTrailer(bytes);
  if (trailer) DCP_RETURN_IF_ERROR(CheckTrailer(bytes));
  Bytes body = trailer ? bytes.first(bytes.size() - kTrailerSize) : bytes;
  FoldedRows rows(body, pages);
  DCP_ASSIGN_OR_RETURN(
      pickle::Graph graph,
      pickle::Parse(body, pickle::Limits(), folding == Folding::kEarly ? &rows : nullptr));
  bool announced = false;
  Decoder decoder(graph, rows, bytes.size());
  DCP_ASSIGN_OR_RETURN(Metadata metadata, decoder.Run(&announced));
  if (announced != trailer) {
    return Error(Code::kCorrupt, "{}",
                 announced ? "the checksum trailer that the file announces is missing or damaged"
                           : "the file ends in a checksum trailer that it does not announce");
  }
  if (size_t rest = body.size() - graph.consumed(); rest > 0) {
    if (trailer) {
      return Error(Code::kCorrupt, "{} bytes lie between the pickle and its trailer", rest);
    }
    metadata.notes.push_back(fmt::format("{} bytes follow the pickle", rest));
  }
  metadata.checksummed = trailer;
  return metadata;
}

Result<Metadata> Explained(Result<Metadata> metadata, std::string_view file_name) {
  if (metadata.ok()) return metadata;
  return metadata.status()
      .WithContext(PrintableName(file_name))
      .WithDetail("file", std::string(file_name));
}

}  // namespace

Result<Metadata> DecodeMetadata(Bytes bytes, std::string_view file_name, Folding folding) {
  return Explained(Decode(bytes, nullptr, folding), file_name);
}

Result<Metadata> DecodeMetadata(PageBuffer pages, std::string_view file_name) {
  return Explained(Decode(pages.bytes(), &pages, Folding::kEarly), file_name);
}

}  // namespace dcp
