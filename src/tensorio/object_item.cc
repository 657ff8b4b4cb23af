#include "tensorio/object_item.h"

#include <algorithm>

#include "base/checksum.h"
#include "pickle/graph.h"
#include "tensorio/archive_checks.h"
#include "tensorio/legacy.h"
#include "tensorio/object_decode.h"
#include "tensorio/object_encode.h"
#include "tensorio/records.h"
#include "tensorio/storage_source.h"
#include "tensorio/storage_table.h"
#include "zip/archive.h"

namespace dcp {
namespace {

// PROTO: every pickle of protocol 2 or later begins with it, no zip does.
constexpr std::byte kProto{0x80};
constexpr size_t kPiece = 256 << 10;  // of a tensor, while its bytes are in the cache

Result<std::string> ReadAll(const ByteSource& item) {
  std::string bytes(item.size(), '\0');
  DCP_RETURN_IF_ERROR(item.ReadAt(0, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}));
  return bytes;
}

Result<ValuePtr> KeepOpaque(const ByteSource& item, const std::string& unknown) {
  DCP_ASSIGN_OR_RETURN(std::string bytes, ReadAll(item));
  return Value::OpaqueOf(unknown, std::make_shared<const std::string>(std::move(bytes)));
}

// Reads every record that decoding did not need, for its CRC alone.
Status CheckOtherRecords(const zip::Archive& archive, const zip::Record* pickle,
                         const ZipStorages& storages, const ObjectLimits& limits, bool* checked) {
  for (const zip::Record& record : archive.records()) {
    if (&record == pickle || storages.Loaded(record)) continue;
    bool had_crc = false;
    Result<std::string> bytes = archive.Read(record, limits.max_size, &had_crc);
    if (!bytes.ok()) return bytes.status();
    *checked = *checked && had_crc;
  }
  return Status::Ok();
}

Result<ValuePtr> DecodeZip(const ByteSource& item, const zip::Archive& archive,
                           const ObjectLimits& limits, bool* checked) {
  DCP_RETURN_IF_ERROR(CheckByteOrder(archive));
  const zip::Record* record = archive.Find(records::kPickle);
  if (record == nullptr) return Error(Code::kCorrupt, "the item has no record data.pkl");
  bool all_checked = false;
  DCP_ASSIGN_OR_RETURN(std::string bytes, archive.Read(*record, limits.max_size, &all_checked));
  DCP_ASSIGN_OR_RETURN(pickle::Graph graph, pickle::Parse(AsBytes(bytes)));
  ZipStorages storages(&archive, limits.max_size);
  uint64_t content = 0;  // cannot overflow: records do not overlap, deflate expands by 1032
  for (const zip::Record& each : archive.records()) content += each.size;
  ObjectDecoder decoder(graph, &storages, limits, DecodeBudget::For(item.size(), content));
  DCP_ASSIGN_OR_RETURN(ValuePtr value, decoder.Decode(graph.root()));
  all_checked = all_checked && storages.all_checked();
  DCP_RETURN_IF_ERROR(CheckOtherRecords(archive, record, storages, limits, &all_checked));
  if (checked != nullptr) *checked = all_checked;
  if (value == nullptr) return KeepOpaque(item, decoder.unknown());
  return value;
}

Result<ValuePtr> DecodeBarePickle(const ByteSource& item, const ObjectLimits& limits) {
  DCP_ASSIGN_OR_RETURN(std::string bytes, ReadAll(item));
  DCP_ASSIGN_OR_RETURN(pickle::Graph graph, pickle::Parse(AsBytes(bytes)));
  if (graph.consumed() != bytes.size()) {
    return Error(Code::kCorrupt, "{} bytes follow the pickle", bytes.size() - graph.consumed());
  }
  NoStorages storages;
  ObjectDecoder decoder(graph, &storages, limits, DecodeBudget::For(item.size(), item.size()));
  DCP_ASSIGN_OR_RETURN(ValuePtr value, decoder.Decode(graph.root()));
  if (value == nullptr) return KeepOpaque(item, decoder.unknown());
  return value;
}

}  // namespace

Result<ValuePtr> DecodeObjectItem(const ByteSource& item, const ObjectLimits& limits,
                                  bool* checked) {
  if (checked != nullptr) *checked = false;
  if (item.size() > limits.max_size) {
    return Error(Code::kLimit, "an object of {} bytes; {} are allowed", item.size(),
                 limits.max_size);
  }
  std::byte first[1] = {};
  if (item.size() > 0) DCP_RETURN_IF_ERROR(item.ReadAt(0, first));
  if (first[0] == kProto && !IsLegacyTorchSave(item)) return DecodeBarePickle(item, limits);
  Result<zip::Archive> archive = zip::Archive::Open(&item);
  if (!archive.ok()) return ExplainNotZip(item, archive.status());
  return DecodeZip(item, *archive, limits, checked);
}

Status EncodeObjectItem(const Value& value, const ByteSink& sink) {
  if (value.kind == ValueKind::kOpaque) {
    if (value.opaque == nullptr || value.opaque->pickled == nullptr) {
      return Error(Code::kInvalidArgument, "an opaque object without its bytes");
    }
    return sink(AsBytes(*value.opaque->pickled));
  }
  DCP_ASSIGN_OR_RETURN(StorageTable storages, StorageTable::Collect(value, kMaxObjectDepth));
  std::string pickle;
  DCP_RETURN_IF_ERROR(ObjectEncoder(storages, &pickle).Encode(value));

  std::string made;  // and not given yet
  uint64_t names = records::Hash(records::kHashStart, records::kPickle);
  const uint32_t pickle_crc = Crc32(0, AsBytes(pickle));
  uint64_t crcs = records::Hash(records::kHashStart, pickle_crc);
  zip::LayoutWriter writer(records::kPrefix);
  records::Append(records::kPickle, pickle, pickle_crc, &writer, &made);
  records::AppendHead(&writer, &made);
  for (size_t i = 0; i < storages.storages().size(); ++i) {
    const Bytes bytes = storages.storages()[i];
    writer.BeginRecord(std::string(records::kStorage) + std::to_string(i), bytes.size(), &made);
    DCP_RETURN_IF_ERROR(sink(AsBytes(made)));
    made.clear();
    uint32_t crc = 0;
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      const Bytes piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
      crc = Crc32(crc, piece);
      DCP_RETURN_IF_ERROR(sink(piece));
    }
    writer.EndRecord(crc, &made);
    names = records::Hash(names, static_cast<uint32_t>(i));
    crcs = records::Hash(crcs, crc);
  }
  records::AppendTail(names, crcs, &writer, &made);
  return sink(AsBytes(made));
}

Result<std::string> EncodeObjectItem(const Value& value) {
  std::string item;
  DCP_RETURN_IF_ERROR(EncodeObjectItem(value, [&](Bytes piece) {
    item.append(AsText(piece));
    return Status::Ok();
  }));
  return item;
}

}  // namespace dcp
