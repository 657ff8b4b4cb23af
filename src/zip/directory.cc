#include "zip/directory.h"

#include "zip/format.h"

namespace dcp::zip {
namespace {

// Replaces the fields that say kMax32 by those of the ZIP64 extra field, in the order in which the
// format has them.
Status ApplyExtra64(Bytes extra, Record* record) {
  uint64_t* wanted[3];
  size_t count = 0;
  for (uint64_t* field : {&record->size, &record->compressed_size, &record->header_offset}) {
    if (*field == kMax32) wanted[count++] = field;
  }
  if (count == 0) return Status::Ok();
  while (extra.size() >= 4) {
    const uint16_t id = LoadLe<uint16_t>(extra.data());
    const uint16_t length = LoadLe<uint16_t>(extra.data() + 2);
    extra = extra.subspan(4);
    if (length > extra.size()) break;
    if (id == kExtraZip64) {
      if (length < count * 8) break;
      for (size_t i = 0; i < count; ++i) *wanted[i] = LoadLe<uint64_t>(extra.data() + i * 8);
      return Status::Ok();
    }
    extra = extra.subspan(length);
  }
  return Error(Code::kCorrupt, "no ZIP64 field for a size or offset that needs one");
}

Status CheckEntry(const DirectoryEntry& entry, const Limits& limits) {
  const Record& record = entry.record;
  if (entry.flags & (kFlagEncrypted | kFlagStrongEncryption | kFlagMasked)) {
    return Error(Code::kUnsupported, "encrypted");
  }
  if (entry.flags & kFlagPatch) return Error(Code::kUnsupported, "compressed patch data");
  if (record.method == kStored) {
    if (record.size != record.compressed_size) {
      return Error(Code::kCorrupt, "stored, yet {} bytes are said to be {}", record.compressed_size,
                   record.size);
    }
  } else if (record.method == kDeflated) {
    if (record.size / limits.max_expansion > record.compressed_size) {
      return Error(Code::kLimit, "{} bytes claim to inflate to {}", record.compressed_size,
                   record.size);
    }
  } else {
    return Error(Code::kUnsupported, "compression method {}", record.method);
  }
  return Status::Ok();
}

}  // namespace

Result<std::vector<DirectoryEntry>> ParseDirectory(Bytes bytes, const DirectoryLocation& location,
                                                   const Limits& limits) {
  if (location.records > limits.max_records) {
    return Error(Code::kLimit, "zip: {} records, more than the {} allowed", location.records,
                 limits.max_records);
  }
  std::vector<DirectoryEntry> entries;
  entries.reserve(location.records);
  size_t at = 0;
  for (uint64_t i = 0; i < location.records; ++i) {
    const std::byte* p = bytes.data() + at;
    if (bytes.size() - at < kDirectorySize || LoadLe<uint32_t>(p) != kDirectorySignature) {
      return Error(Code::kCorrupt, "zip: directory entry {} of {} at offset {} is damaged", i,
                   location.records, location.offset + at);
    }
    const size_t name_size = LoadLe<uint16_t>(p + 28);
    const size_t extra_size = LoadLe<uint16_t>(p + 30);
    const size_t comment_size = LoadLe<uint16_t>(p + 32);
    if (name_size + extra_size + comment_size > bytes.size() - at - kDirectorySize) {
      return Error(Code::kCorrupt, "zip: directory entry {} at offset {} leaves the directory", i,
                   location.offset + at);
    }
    DirectoryEntry& entry = entries.emplace_back();
    Record& record = entry.record;
    entry.flags = LoadLe<uint16_t>(p + 8);
    record.name.assign(AsText(bytes.subspan(at + kDirectorySize, name_size)));
    record.method = LoadLe<uint16_t>(p + 10);
    record.crc32 = LoadLe<uint32_t>(p + kDirectoryCrc);
    record.compressed_size = LoadLe<uint32_t>(p + 20);
    record.size = LoadLe<uint32_t>(p + 24);
    record.header_offset = LoadLe<uint32_t>(p + 42);
    record.data_offset = 0;
    record.described = (entry.flags & kFlagDescriptor) != 0;
    record.entry_offset = location.offset + at;
    Status status =
        ApplyExtra64(bytes.subspan(at + kDirectorySize + name_size, extra_size), &record);
    if (status.ok() && LoadLe<uint16_t>(p + 34) != 0) {
      status = Error(Code::kUnsupported, "on another disk");
    }
    if (status.ok()) status = CheckEntry(entry, limits);
    if (!status.ok()) {
      return status.WithContext(
          fmt::format("zip: record {} of the directory at offset {}", i, location.offset));
    }
    at += kDirectorySize + name_size + extra_size + comment_size;
  }
  if (at != bytes.size()) {
    return Error(Code::kCorrupt, "zip: {} bytes follow the {} entries of the directory at {}",
                 bytes.size() - at, location.records, location.offset);
  }
  return entries;
}

}  // namespace dcp::zip
