#include <algorithm>

#include "base/checksum.h"
#include "metadata/codec.h"
#include "metadata/id_table.h"
#include "metadata/image.h"
#include "metadata/layouts.h"
#include "metadata/surrogate_escape.h"
#include "metadata/trailer.h"
#include "pickle/writer.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr uint32_t kNotYet = 0xffffffff;
constexpr size_t kBatch = 1000;     // of SETITEMS and APPENDS, as Python's pickler
constexpr size_t kPiece = 1 << 20;  // bytes, and a little more
constexpr std::string_view kModule = "torch.distributed.checkpoint.metadata";
constexpr std::string_view kOldModule = "torch.distributed._shard.sharded_tensor.metadata";

// Names in torch's namespace are Python identifiers.
bool IsIdentifier(std::string_view text) {
  auto letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && !digit(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) {
    return letter(c) || digit(c) || c == '_';
  });
}

class Encoder {
 public:
  // `marks` may be null.
  Encoder(const Metadata& metadata, Dialect dialect, const ByteSink& sink, MetadataMarks* marks)
      : metadata_(metadata),
        sink_(sink),
        marks_(marks),
        old_(dialect == Dialect::kTorch21),
        chunk_total_(CountChunks(metadata)),
        writer_(4, &out_) {}

  Status Run() {
    DCP_RETURN_IF_ERROR(Check());
    writer_.Global(kModule, "Metadata");
    BeginObject();
    Field("state_dict_metadata", &state_dict_metadata_);
    WriteEntries();
    Field("planner_data", &planner_data_);
    WritePlannerData();
    Field("storage_data", &storage_data_);
    if (marks_ != nullptr) marks_->storage = At();
    WriteStorage();
    if (!old_) {
      Field("storage_meta", &storage_meta_);
      WriteStorageMeta();
      Field("version", &version_);
      WriteOptional(metadata_.version);
    }
    Field(kAnnouncement, &announcement_);
    writer_.EmptyDict();
    writer_.String("trailer");
    writer_.Int(kTrailerVersion);
    writer_.SetItem();
    EndObject();
    writer_.Stop();
    Count();
    AppendTrailer(crc_, counted_, &out_);
    if (marks_ != nullptr) {
      marks_->complete =
          marks_->complete && marks_->checkpoint_id.size > 0 && marks_->save_id.size > 0;
    }
    if (sunk_.ok()) sunk_ = sink_(AsBytes(out_));
    return sunk_;
  }

 private:
  static size_t CountChunks(const Metadata& metadata) {
    size_t total = 0;
    for (const Entry& entry : metadata.entries) total += entry.chunk_count();
    return total;
  }

  // What is in `out_` belongs to the bytes before the trailer.
  void Count() {
    crc_ = Crc32(crc_, AsBytes(out_));
    counted_ += out_.size();
  }
  // Where in the file the next opcode goes.
  uint64_t At() const { return counted_ + out_.size(); }
  void MarkText(std::string_view text, MetadataMarks::Text* mark) {
    if (marks_ != nullptr) mark->at = At();
    writer_.String(text);
    if (marks_ != nullptr) mark->size = At() - mark->at;
  }
  // The last four bytes are a CRC.
  void MarkCrc() {
    if (marks_ == nullptr) return;
    const uint64_t at = At() - 1 - sizeof(uint32_t);
    if (marks_->gaps.size() % MetadataMarks::kBlock == 0) marks_->blocks.push_back(at);
    const uint64_t gap = at - last_crc_;
    marks_->complete = marks_->complete && gap <= UINT32_MAX;
    marks_->gaps.push_back(static_cast<uint32_t>(gap));
    last_crc_ = at;
  }
  // Between opcodes. False when the sink failed: nothing more need be written.
  bool Flush() {
    if (out_.size() < kPiece || !sunk_.ok()) return sunk_.ok();
    Count();
    sunk_ = sink_(AsBytes(out_));
    out_.clear();
    return sunk_.ok();
  }

  // ---- what stock could not unpickle is refused

  Status Check() const {
    for (const Entry& entry : metadata_.entries) {
      if (Status status = CheckEntry(entry); !status.ok()) {
        return status.WithContext(PrintableName(entry.name));
      }
    }
    for (const std::string& file : metadata_.files) DCP_RETURN_IF_ERROR(CheckText(file));
    for (const auto& set : metadata_.transform_sets) {
      for (const std::string& name : set) DCP_RETURN_IF_ERROR(CheckText(name));
    }
    if (metadata_.version) DCP_RETURN_IF_ERROR(CheckText(*metadata_.version));
    if (metadata_.planner_data) {
      for (const auto& [name, path] : *metadata_.planner_data) {
        DCP_RETURN_IF_ERROR(CheckText(name));
        for (const PathElement& element : path) {
          const std::string* key = std::get_if<std::string>(&element);
          if (key && *key != name) DCP_RETURN_IF_ERROR(CheckText(*key));
        }
      }
    }
    if (metadata_.storage_meta) {
      const StorageMeta& meta = *metadata_.storage_meta;
      if (meta.save_id) DCP_RETURN_IF_ERROR(CheckText(*meta.save_id));
      if (meta.load_id) DCP_RETURN_IF_ERROR(CheckText(*meta.load_id));
      for (const std::string& name : meta.modules) DCP_RETURN_IF_ERROR(CheckText(name));
    }
    return Status::Ok();
  }

  static Status CheckText(std::string_view text) {
    if (IsWtf8(text)) return Status::Ok();
    return Error(Code::kInvalidArgument, "\"{}\" is not UTF-8: Python could not read it",
                 PrintableName(text));
  }

  Status CheckEntry(const Entry& entry) const {
    DCP_RETURN_IF_ERROR(CheckText(entry.name));
    size_t n = entry.ndim(), count = entry.chunk_count();
    if (entry.kind == EntryKind::kTensor) {
      if (n > kMaxDims || entry.boxes.size() != 2 * n * count) {
        return Error(Code::kInvalidArgument, "{} numbers for {} chunks of {} dimensions",
                     entry.boxes.size(), count, n);
      }
      if (!entry.unknown_dtype.empty() && !IsIdentifier(entry.unknown_dtype)) {
        return Error(Code::kInvalidArgument, "the dtype {} cannot be written",
                     PrintableName(entry.unknown_dtype));
      }
      if (!IsKnownLayout(entry.properties.layout)) {
        return Error(Code::kInvalidArgument, "the layout {} cannot be written",
                     PrintableName(entry.properties.layout));
      }
    } else if (count > 1) {
      return Error(Code::kInvalidArgument, "{} locations for one object", count);
    }
    for (const Location& at : entry.locations) {
      if (at.missing()) continue;
      constexpr uint64_t kMax = INT64_MAX;
      if (at.file >= metadata_.files.size() || at.transforms >= metadata_.transform_sets.size() ||
          at.offset > kMax || at.length > kMax - at.offset) {
        return Error(Code::kInvalidArgument, "its location is outside the tables or past 2^63");
      }
    }
    return Status::Ok();
  }

  // ---- opcodes in groups

  // The class is on the stack; its fields follow.
  void BeginObject() {
    writer_.EmptyTuple();
    writer_.NewObject();
    writer_.EmptyDict();
    writer_.Mark();
  }
  void EndObject() {
    writer_.SetItems();
    writer_.Build();
  }
  void Class(std::string_view module, std::string_view name, uint32_t* memo) {
    if (*memo != kNotYet) return writer_.Get(*memo);
    writer_.Global(module, name);
    *memo = writer_.Memoize();
  }
  void Field(std::string_view name, uint32_t* memo) { Shared(name, memo); }
  void Shared(std::string_view text, uint32_t* memo) {
    if (*memo != kNotYet) return writer_.Get(*memo);
    writer_.String(text);
    *memo = writer_.Memoize();
  }
  void Flag(bool value) { writer_.Bool(value); }
  void WriteOptional(const std::optional<std::string>& text) {
    if (text) {
      writer_.String(*text);
    } else {
      writer_.None();
    }
  }

  void Tuple(Dims numbers) {
    if (numbers.empty()) return writer_.EmptyTuple();
    if (numbers.size() > 3) writer_.Mark();
    for (int64_t number : numbers) writer_.Int(number);
    switch (numbers.size()) {
      case 1:
        return writer_.Tuple1();
      case 2:
        return writer_.Tuple2();
      case 3:
        return writer_.Tuple3();
      default:
        return writer_.TupleFromMark();
    }
  }
  void SizeClass() { Class("torch", "Size", &size_class_); }
  // A torch.Size, whose class is on the stack; returns its memo.
  uint32_t Size(Dims numbers) {
    Tuple(numbers);
    writer_.Tuple1();
    writer_.Reduce();
    return writer_.Memoize();
  }

  // Writes what `write` writes, which is to be the same each time. Once all it names is in the
  // memo its bytes are kept in *run, for the times after.
  template <typename Write>
  void Repeated(std::string* run, Write&& write) {
    if (!run->empty()) return writer_.Repeat(*run);
    const size_t begin = out_.size();
    const uint32_t memo = writer_.memo_size();
    write();
    if (writer_.memo_size() == memo) run->assign(out_, begin);
  }

  // Calls `write(i)` for each of `count` items, in batches that `end` closes.
  template <typename Write, typename End>
  void Batches(size_t count, Write&& write, End&& end) {
    for (size_t i = 0; i < count && Flush(); ++i) {
      if (i % kBatch == 0) writer_.Mark();
      write(i);
      if (i % kBatch == kBatch - 1 || i + 1 == count) end();
    }
  }

  // ---- state_dict_metadata

  void WriteEntries() {
    const std::vector<Entry>& entries = metadata_.entries;
    name_memos_.assign(entries.size(), kNotYet);
    offset_memos_.reserve(chunk_total_);
    writer_.EmptyDict();
    Batches(
        entries.size(),
        [&](size_t i) {
          Shared(entries[i].name, &name_memos_[i]);
          if (entries[i].kind == EntryKind::kTensor) {
            WriteTensor(entries[i]);
          } else {
            Class(kModule, "BytesStorageMetadata", &bytes_class_);
            writer_.EmptyTuple();
            writer_.NewObject();
          }
        },
        [&] { writer_.SetItems(); });
  }

  void WriteTensor(const Entry& entry) {
    BeginTensor(entry);
    // Sizes of chunks repeat: the tensor's own, or the last chunk's.
    Dims last_sizes = entry.size;
    uint32_t last_memo = Size(entry.size);
    Field("chunks", &chunks_);
    writer_.EmptyList();
    Batches(
        entry.chunk_count(),
        [&](size_t i) {
          Box box = entry.chunk(i);
          Repeated(&chunk_run_, [&] {
            Class(kModule, "ChunkStorageMetadata", &chunk_class_);
            BeginObject();
            Field("offsets", &offsets_);
            SizeClass();
          });
          offset_memos_.push_back(Size(box.offsets));
          Field("sizes", &sizes_);
          if (std::equal(box.sizes.begin(), box.sizes.end(), last_sizes.begin())) {
            writer_.Get(last_memo);
          } else {
            SizeClass();
            last_memo = Size(box.sizes);
            last_sizes = box.sizes;
          }
          EndObject();
        },
        [&] { writer_.Appends(); });
    EndObject();
  }

  // Up to the class of its size.
  void BeginTensor(const Entry& entry) {
    if (entry.unknown_dtype != run_unknown_dtype_ || entry.properties != run_properties_) {
      tensor_run_.clear();
      run_unknown_dtype_ = entry.unknown_dtype;
      run_properties_ = entry.properties;
    }
    Repeated(&tensor_run_, [&] {
      Class(kModule, "TensorStorageMetadata", &tensor_class_);
      BeginObject();
      Field("properties", &properties_);
      WriteProperties(entry);
      Field("size", &size_);
      SizeClass();
    });
  }

  void WriteProperties(const Entry& entry) {
    const TensorProperties& properties = entry.properties;
    Class(old_ ? kOldModule : kModule, "TensorProperties", &properties_class_);
    writer_.EmptyTuple();
    writer_.NewObject();
    writer_.Mark();
    writer_.Global("torch", entry.unknown_dtype.empty() ? DTypeName(properties.dtype)
                                                        : std::string_view(entry.unknown_dtype));
    WriteLayout(properties.layout);
    Flag(properties.requires_grad);
    WriteMemoryFormat(properties.memory_format);
    Flag(properties.pin_memory);
    writer_.TupleFromMark();
    writer_.Build();
  }

  void WriteLayout(const std::string& layout) {
    for (const auto& [known, memo] : layout_memos_) {
      if (known == layout) return writer_.Get(memo);
    }
    writer_.Global("torch.serialization", "_get_layout");
    writer_.String(layout);
    writer_.Tuple1();
    writer_.Reduce();
    layout_memos_.emplace_back(layout, writer_.Memoize());
  }

  void WriteMemoryFormat(MemoryFormat format) {
    uint32_t& memo = format_memos_[static_cast<size_t>(format) % 3];
    if (memo != kNotYet) return writer_.Get(memo);
    if (old_) {
      writer_.Global(kOldModule, "MEM_FORMAT_ENCODING");
    } else {
      writer_.Global(kModule, "_MEM_FORMAT_ENCODING");
    }
    writer_.Int(static_cast<int64_t>(format));
    writer_.Tuple1();
    writer_.Reduce();
    memo = writer_.Memoize();
  }

  // ---- planner_data

  void WritePlannerData() {
    if (!metadata_.planner_data) return writer_.None();
    const auto& data = *metadata_.planner_data;
    writer_.EmptyDict();
    Batches(
        data.size(), [&](size_t i) { WritePath(data[i].first, data[i].second, i); },
        [&] { writer_.SetItems(); });
  }

  // By a table of its own: the metadata's may be missing.
  uint32_t EntryNamed(std::string_view name) {
    auto named = [&](uint32_t other) { return metadata_.entries[other].name == name; };
    if (by_name_.size() == 0) {
      by_name_.Reserve(metadata_.entries.size());
      for (uint32_t i = 0; i < metadata_.entries.size(); ++i) {
        const std::string& own = metadata_.entries[i].name;
        by_name_.FindOrAdd(SeededHash(own), i,
                           [&](uint32_t other) { return metadata_.entries[other].name == own; });
      }
    }
    return by_name_.Find(SeededHash(name), named);
  }

  void WritePath(const std::string& name, const Path& path, size_t guess) {
    // Planners list names in the order of the entries, or nearly.
    uint32_t memo = kNotYet;
    if (guess < metadata_.entries.size() && metadata_.entries[guess].name == name) {
      memo = name_memos_[guess];
    } else if (uint32_t entry = EntryNamed(name); entry != IdTable::kNone) {
      memo = name_memos_[entry];
    }
    Shared(name, &memo);
    if (path.empty()) return writer_.EmptyTuple();
    if (path.size() > 3) writer_.Mark();
    for (const PathElement& element : path) {
      const std::string* key = std::get_if<std::string>(&element);
      if (!key) {
        writer_.Int(std::get<int64_t>(element));
      } else if (*key == name) {
        writer_.Get(memo);
      } else {
        writer_.InternedString(*key);
      }
    }
    switch (path.size()) {
      case 1:
        return writer_.Tuple1();
      case 2:
        return writer_.Tuple2();
      case 3:
        return writer_.Tuple3();
      default:
        return writer_.TupleFromMark();
    }
  }

  // ---- storage_data

  void WriteStorage() {
    file_memos_.assign(metadata_.files.size(), kNotYet);
    if (marks_ != nullptr) marks_->files.resize(metadata_.files.size());
    transform_memos_.assign(metadata_.transform_sets.size(), kNotYet);
    writer_.EmptyDict();
    size_t open = 0;     // items since the last MARK
    size_t tensors = 0;  // chunks of tensors so far: offset_memos_ runs parallel
    for (size_t e = 0; e < metadata_.entries.size(); ++e) {
      const Entry& entry = metadata_.entries[e];
      for (size_t i = 0; i < entry.chunk_count() && Flush(); ++i) {
        uint32_t offset = entry.kind == EntryKind::kTensor ? offset_memos_[tensors++] : kNotYet;
        const Location& location = entry.locations[i];
        if (location.missing()) continue;
        if (open == 0) writer_.Mark();
        WriteIndex(name_memos_[e], offset, i);
        WriteLocation(location);
        if (++open == kBatch) {
          writer_.SetItems();
          open = 0;
        }
      }
    }
    if (open > 0) writer_.SetItems();
  }

  void WriteIndex(uint32_t name, uint32_t offset, size_t chunk) {
    Repeated(&index_run_, [&] {
      Class(kModule, "MetadataIndex", &index_class_);
      BeginObject();
      Field("fqn", &fqn_);
    });
    writer_.Get(name);
    Field("index", &index_);
    if (offset == kNotYet) {
      writer_.None();
    } else {
      writer_.Int(static_cast<int64_t>(chunk));
      Field("offset", &offset_);
      writer_.Get(offset);
    }
    EndObject();
  }

  void WriteLocation(const Location& location) {
    if (location.file != run_file_) location_run_.clear();
    run_file_ = location.file;
    Repeated(&location_run_, [&] {
      Class("torch.distributed.checkpoint.filesystem", "_StorageInfo", &info_class_);
      BeginObject();
      Field("relative_path", &relative_path_);
      WriteFile(location.file);
      Field("offset", &offset_);
    });
    writer_.Int(static_cast<int64_t>(location.offset));
    Field("length", &length_);
    writer_.Int(static_cast<int64_t>(location.length));
    if (!metadata_.transform_sets[location.transforms].empty()) {
      Field("transform_descriptors", &transform_descriptors_);
      WriteTransforms(location.transforms);
    }
    if (location.has_crc32) {
      Field(kItemCrc, &item_crc_);
      writer_.WideInt(location.crc32);
      MarkCrc();
    } else if (marks_ != nullptr) {
      marks_->complete = false;
    }
    EndObject();
  }

  void WriteFile(uint32_t file) {
    uint32_t& memo = file_memos_[file];
    if (memo != kNotYet) return writer_.Get(memo);
    MetadataMarks::Text unmarked;
    MarkText(metadata_.files[file], marks_ != nullptr ? &marks_->files[file] : &unmarked);
    memo = writer_.Memoize();
  }

  void WriteTransforms(uint32_t set) {
    uint32_t& memo = transform_memos_[set];
    if (memo != kNotYet) return writer_.Get(memo);
    const std::vector<std::string>& names = metadata_.transform_sets[set];
    writer_.EmptyList();
    memo = writer_.Memoize();
    writer_.Mark();
    for (const std::string& name : names) writer_.String(name);
    writer_.Appends();
  }

  // ---- storage_meta

  void WriteStorageMeta() {
    if (!metadata_.storage_meta) return writer_.None();
    const StorageMeta& meta = *metadata_.storage_meta;
    writer_.Global(kModule, "StorageMeta");
    BeginObject();
    writer_.String("checkpoint_id");
    MetadataMarks::Text checkpoint_id, save_id;
    if (meta.checkpoint_id) {
      MarkText(SurrogateEscape(*meta.checkpoint_id), &checkpoint_id);
    } else {
      writer_.None();
    }
    writer_.String("save_id");
    if (meta.save_id) {
      MarkText(*meta.save_id, &save_id);
    } else {
      writer_.None();
    }
    if (marks_ != nullptr) {
      marks_->checkpoint_id = checkpoint_id;
      marks_->save_id = save_id;
    }
    writer_.String("load_id");
    WriteOptional(meta.load_id);
    writer_.String("modules");
    writer_.EmptyList();
    Batches(
        meta.modules.size(), [&](size_t i) { writer_.String(meta.modules[i]); },
        [&] { writer_.Appends(); });
    EndObject();
  }

  const Metadata& metadata_;
  const ByteSink& sink_;
  MetadataMarks* const marks_;
  uint64_t last_crc_ = 0;
  const bool old_;
  const size_t chunk_total_;
  std::string out_;  // not yet given to the sink
  pickle::Writer writer_;
  uint32_t crc_ = 0;
  uint64_t counted_ = 0;  // bytes that crc_ covers
  Status sunk_;

  // Memo indices of names of fields and of classes.
  uint32_t item_crc_ = kNotYet, state_dict_metadata_ = kNotYet, planner_data_ = kNotYet,
           storage_data_ = kNotYet, storage_meta_ = kNotYet, version_ = kNotYet,
           announcement_ = kNotYet, properties_ = kNotYet, size_ = kNotYet, chunks_ = kNotYet,
           offsets_ = kNotYet, sizes_ = kNotYet, fqn_ = kNotYet, index_ = kNotYet,
           offset_ = kNotYet, relative_path_ = kNotYet, length_ = kNotYet,
           transform_descriptors_ = kNotYet;
  uint32_t size_class_ = kNotYet, bytes_class_ = kNotYet, tensor_class_ = kNotYet,
           chunk_class_ = kNotYet, properties_class_ = kNotYet, index_class_ = kNotYet,
           info_class_ = kNotYet;
  // For Repeated. tensor_run_ is that of the properties that follow, location_run_ of the file.
  std::string tensor_run_, chunk_run_, index_run_, location_run_;
  std::string run_unknown_dtype_;
  TensorProperties run_properties_;
  uint32_t run_file_ = Location::kMissing;
  IdTable by_name_;                        // entries; filled when first asked
  std::vector<uint32_t> name_memos_;       // by entry
  std::vector<uint32_t> offset_memos_;     // by chunk of a tensor, entry after entry
  std::vector<uint32_t> file_memos_;       // by file
  std::vector<uint32_t> transform_memos_;  // by transform set
  std::vector<std::pair<std::string, uint32_t>> layout_memos_;
  uint32_t format_memos_[3] = {kNotYet, kNotYet, kNotYet};
};

}  // namespace

Status EncodeMetadata(const Metadata& metadata, Dialect dialect, const ByteSink& sink) {
  return Encoder(metadata, dialect, sink, nullptr).Run();
}

Status EncodeMetadata(const Metadata& metadata, Dialect dialect, const ByteSink& sink,
                      MetadataMarks* marks) {
  return Encoder(metadata, dialect, sink, marks).Run();
}

Result<std::string> EncodeMetadata(const Metadata& metadata, Dialect dialect) {
  std::string whole;
  DCP_RETURN_IF_ERROR(EncodeMetadata(metadata, dialect, [&](Bytes piece) {
    whole += AsText(piece);
    return Status::Ok();
  }));
  return whole;
}

}  // namespace dcp
