#include "ranklocal/rank_reader.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "pickle/graph.h"
#include "ranklocal/lazy_storages.h"
#include "ranklocal/rank_file.h"
#include "tensorio/archive_checks.h"
#include "tensorio/object_decode.h"
#include "tensorio/object_item.h"
#include "tensorio/records.h"
#include "value/names.h"
#include "zip/archive.h"

namespace dcp {
namespace {

constexpr uint64_t kMostBytes = 1ull << 46;  // what a file's own size cannot justify ends earlier

ObjectLimits Limits() {
  ObjectLimits limits;
  limits.max_size = kMostBytes;
  return limits;
}

Result<std::unique_ptr<ReadableFile>> Open(const Store& store, int32_t rank) {
  const std::string name = RankFileName(rank);
  Result<std::unique_ptr<ReadableFile>> file = store.Open(name);
  if (file.ok() || file.status().code() != Code::kNotFound) return file;
  return Error(Code::kNotFound, "Checkpoint file not found at {}/{}", store.location(), name)
      .WithDetail("file", name);
}

Status InFile(const Status& status, const Store& store, int32_t rank) {
  const std::string name = RankFileName(rank);
  return status.WithContext(fmt::format("{} in {}", name, store.location()))
      .WithDetail("file", name);
}

std::string_view TypeName(const Value& value) {
  switch (value.kind) {
    case ValueKind::kNone:
      return "NoneType";
    case ValueKind::kBool:
      return "bool";
    case ValueKind::kInt:
      return "int";
    case ValueKind::kFloat:
      return "float";
    case ValueKind::kString:
      return "str";
    case ValueKind::kBytes:
      return "bytes";
    case ValueKind::kList:
      return "list";
    case ValueKind::kTuple:
      return "tuple";
    case ValueKind::kDict:
      return "dict";
    case ValueKind::kOrderedDict:
      return "collections.OrderedDict";
    case ValueKind::kTensor:
      return "torch.Tensor";
    default:
      return "object";
  }
}

bool IsDict(const Value& value) {
  return value.kind == ValueKind::kDict || value.kind == ValueKind::kOrderedDict;
}

// Python's isinstance, for the types that state dicts are made of.
bool IsInstance(const Value& target, const Value& source) {
  if (target.kind == source.kind) return true;
  if (source.kind == ValueKind::kDict) return target.kind == ValueKind::kOrderedDict;
  return source.kind == ValueKind::kInt && target.kind == ValueKind::kBool;
}

std::string KeyText(const Value& key) {
  if (key.kind == ValueKind::kString) return key.text;
  return ToString(key);
}

// A tensor of the target and the one in the file that is to fill it.
struct Fill {
  std::string key;
  Tensor source;
  Tensor target;
};

class Merge {
 public:
  Result<ValuePtr> Run(const ValuePtr& target, const ValuePtr& source, const std::string& path) {
    if (target->kind != ValueKind::kNone && !IsInstance(*target, *source)) {
      return Error(Code::kMismatch,
                   "Target value {} is set to <class '{}'>, but source value is <class '{}'>",
                   PrintableName(path), TypeName(*target), TypeName(*source))
          .WithDetail("tensor", PrintableName(path));
    }
    if (source->kind == ValueKind::kTensor) return Tensors(target, source, path);
    if (IsDict(*source)) return Dicts(target, source, path);
    if (source->kind == ValueKind::kList) return Lists(target, source, path);
    Take(*source, path);
    return source;
  }

  std::vector<Fill>& fills() { return fills_; }
  std::vector<std::string>& missing() { return missing_; }
  // Values of the file that are in the result as they are, with whatever tensors they hold.
  bool keeps_tensors() const { return keeps_tensors_; }

 private:
  Result<ValuePtr> Tensors(const ValuePtr& target, const ValuePtr& source,
                           const std::string& path) {
    const Tensor& from = source->tensor;
    if (target->kind == ValueKind::kNone) {
      DCP_ASSIGN_OR_RETURN(Tensor fresh, Tensor::Allocate(from.dtype, from.shape));
      fresh.requires_grad = from.requires_grad;
      fills_.push_back({path, from, fresh});
      auto made = std::make_shared<Value>(*source);
      made->tensor = std::move(fresh);
      return ValuePtr(std::move(made));
    }
    const Tensor& to = target->tensor;
    if (to.shape != from.shape || to.dtype != from.dtype) {
      return Error(Code::kMismatch,
                   "Target tensor size=torch.Size([{}]) dtype=torch.{} does not match source "
                   "tensor size=torch.Size([{}]) dtype=torch.{} for key {}",
                   fmt::join(to.shape, ", "), DTypeName(to.dtype), fmt::join(from.shape, ", "),
                   DTypeName(from.dtype), PrintableName(path))
          .WithDetail("tensor", PrintableName(path));
    }
    if (to.read_only) {
      return Error(Code::kInvalidArgument, "{} is read-only memory and cannot be loaded into",
                   PrintableName(path));
    }
    if (!to.device.is_cpu()) {
      return Error(Code::kUnsupported,
                   "{} lies on device {}:{} (DLPack's numbers): load it to host memory first",
                   PrintableName(path), to.device.type, to.device.index)
          .WithDetail("tensor", PrintableName(path));
    }
    fills_.push_back({path, from, to});
    return target;
  }

  Result<ValuePtr> Dicts(const ValuePtr& target, const ValuePtr& source, const std::string& path) {
    const bool all = target->kind == ValueKind::kNone;
    const Value& keys = all ? *source : *target;
    auto made = std::make_shared<Value>(keys);
    const ValuePtr none = Value::None();
    for (auto& [key, value] : made->entries) {
      const std::string text = KeyText(*key);
      const std::string below = path.empty() ? text : fmt::format("{}.{}", path, text);
      const auto found = std::find_if(source->entries.begin(), source->entries.end(),
                                      [&](const auto& entry) { return Equal(*entry.first, *key); });
      if (found == source->entries.end()) {
        missing_.push_back(below);
        continue;
      }
      DCP_ASSIGN_OR_RETURN(value, Run(all ? none : value, found->second, below));
    }
    return ValuePtr(std::move(made));
  }

  Result<ValuePtr> Lists(const ValuePtr& target, const ValuePtr& source, const std::string& path) {
    const ValuePtr none = Value::None();
    const size_t known = target->kind == ValueKind::kNone ? 0 : target->items.size();
    std::vector<ValuePtr> items;
    for (size_t i = 0; i < std::max(known, source->items.size()); ++i) {
      const ValuePtr& from = i < source->items.size() ? source->items[i] : none;
      const ValuePtr& to = i < known ? target->items[i] : none;
      DCP_ASSIGN_OR_RETURN(ValuePtr item, Run(to, from, fmt::format("{}[{}]", path, i)));
      items.push_back(std::move(item));
    }
    return Value::Sequence(ValueKind::kList, std::move(items));
  }

  void Take(const Value& value, const std::string& path) {
    if (value.kind == ValueKind::kTensor) keeps_tensors_ = true;
    for (const ValuePtr& item : value.items) Take(*item, path);
    for (const auto& [key, entry] : value.entries) Take(*entry, path);
    if (value.constructed != nullptr) keeps_tensors_ = true;
  }

  std::vector<Fill> fills_;
  std::vector<std::string> missing_;
  bool keeps_tensors_ = false;
};

// A dense tensor that is a whole record goes straight to a dense target; others by way of the
// record's bytes, which are read once.
class Filler {
 public:
  Filler(const zip::Archive& archive, const LazyStorages& lazy) : archive_(archive), lazy_(lazy) {}

  Status Run(std::vector<Fill>& fills) {
    std::unordered_map<const zip::Record*, std::vector<size_t>> by_record;
    for (size_t i = 0; i < fills.size(); ++i) {
      if (fills[i].source.num_elements() == 0) continue;
      const std::optional<LazyStorages::Place> place = lazy_.Find(fills[i].source.data);
      if (!place) {  // resolved while it was decoded
        CopyElements(fills[i].source, fills[i].target);
        continue;
      }
      by_record[place->record].push_back(i);
    }
    for (const zip::Record& record : archive_.records()) {  // in the order of the file
      const auto found = by_record.find(&record);
      if (found == by_record.end()) continue;
      DCP_RETURN_IF_ERROR(FillFrom(record, fills, found->second));
    }
    return Status::Ok();
  }

 private:
  Status FillFrom(const zip::Record& record, std::vector<Fill>& fills,
                  const std::vector<size_t>& which) {
    const Fill& first = fills[which[0]];
    if (which.size() == 1 && record.method == 0 && first.source.contiguous() &&
        first.target.contiguous() &&
        static_cast<uint64_t>(first.source.num_bytes()) == record.size) {
      return Named(
          first, archive_.ReadInto(record, {first.target.data, static_cast<size_t>(record.size)}));
    }
    Result<std::string> bytes = archive_.Read(record, record.size);
    if (!bytes.ok()) return Named(first, bytes.status());
    for (const size_t i : which) {
      Tensor source = fills[i].source;
      source.data = reinterpret_cast<std::byte*>(bytes->data()) + lazy_.Find(source.data)->offset;
      CopyElements(source, fills[i].target);
    }
    return Status::Ok();
  }

  static Status Named(const Fill& fill, const Status& status) {
    return status.WithContext(PrintableName(fill.key))
        .WithDetail("tensor", PrintableName(fill.key));
  }

  const zip::Archive& archive_;
  const LazyStorages& lazy_;
};

Result<PartialRead> ReadInto(const ReadableFile& file, const ValuePtr& target) {
  DCP_ASSIGN_OR_RETURN(const zip::Archive archive, zip::Archive::Open(&file));
  DCP_RETURN_IF_ERROR(CheckByteOrder(archive));
  const zip::Record* record = archive.Find(records::kPickle);
  if (record == nullptr) return Error(Code::kCorrupt, "the file has no record data.pkl");
  DCP_ASSIGN_OR_RETURN(const std::string pickle, archive.Read(*record, kMostBytes));
  DCP_ASSIGN_OR_RETURN(const pickle::Graph graph, pickle::Parse(AsBytes(pickle)));
  LazyStorages lazy(&archive);
  ObjectDecoder decoder(graph, &lazy, Limits(), DecodeBudget::For(file.size(), file.size()));
  DCP_ASSIGN_OR_RETURN(const ValuePtr source, decoder.Decode(graph.root()));
  if (source == nullptr) {
    return Error(Code::kUnsupported,
                 "the file holds a {}, which is not read: its class is not on "
                 "the list in docs/format.md",
                 decoder.unknown());
  }
  Merge merge;
  PartialRead read;
  DCP_ASSIGN_OR_RETURN(read.state, merge.Run(target, source, ""));
  if (merge.keeps_tensors()) {
    // Tensors inside tuples and objects: what is at their addresses is to be the file's.
    DCP_ASSIGN_OR_RETURN(const ValuePtr whole, DecodeObjectItem(file, Limits()));
    Merge again;
    DCP_ASSIGN_OR_RETURN(read.state, again.Run(target, whole, ""));
    for (const Fill& fill : again.fills()) CopyElements(fill.source, fill.target);
    read.missing = std::move(again.missing());
    return read;
  }
  DCP_RETURN_IF_ERROR(Filler(archive, lazy).Run(merge.fills()));
  read.missing = std::move(merge.missing());
  return read;
}

}  // namespace

Result<ValuePtr> ReadRankFile(const Store& store, int32_t rank) {
  DCP_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, Open(store, rank));
  Result<ValuePtr> value = DecodeObjectItem(*file, Limits());
  if (!value.ok()) return InFile(value.status(), store, rank);
  return value;
}

Result<PartialRead> ReadRankFileInto(const Store& store, int32_t rank, const ValuePtr& target) {
  DCP_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, Open(store, rank));
  Result<PartialRead> read = ReadInto(*file, target);
  if (!read.ok()) return InFile(read.status(), store, rank);
  return read;
}

}  // namespace dcp
