#include "zip/local_header.h"

#include <algorithm>

#include "zip/format.h"

namespace dcp::zip {
namespace {

template <typename T>
bool DescriptorMatches(const std::byte* p, const Record& record) {
  return LoadLe<uint32_t>(p) == record.crc32 && LoadLe<T>(p + 4) == record.compressed_size &&
         LoadLe<T>(p + 4 + sizeof(T)) == record.size;
}

// The four forms in use: with and without a signature, sizes of 32 and 64 bits.
bool IsDescriptorOf(Bytes bytes, const Record& record) {
  const std::byte* p = bytes.data();
  if (bytes.size() >= 16 && LoadLe<uint32_t>(p) == kDescriptorSignature) {
    if (DescriptorMatches<uint32_t>(p + 4, record)) return true;
    if (bytes.size() >= 24 && DescriptorMatches<uint64_t>(p + 4, record)) return true;
  }
  if (bytes.size() >= 12 && DescriptorMatches<uint32_t>(p, record)) return true;
  return bytes.size() >= 20 && DescriptorMatches<uint64_t>(p, record);
}

// Sizes of a local header that does not leave them to a descriptor.
bool SizesMatch(const std::byte* header, Bytes extra, const Record& record) {
  uint64_t compressed = LoadLe<uint32_t>(header + 18);
  uint64_t size = LoadLe<uint32_t>(header + 22);
  while ((compressed == kMax32 || size == kMax32) && extra.size() >= 4) {
    const uint16_t id = LoadLe<uint16_t>(extra.data());
    const uint16_t length = LoadLe<uint16_t>(extra.data() + 2);
    extra = extra.subspan(4);
    if (length > extra.size()) return false;
    if (id == kExtraZip64) {  // here both sizes are always present
      if (length < 16) return false;
      if (size == kMax32) size = LoadLe<uint64_t>(extra.data());
      if (compressed == kMax32) compressed = LoadLe<uint64_t>(extra.data() + 8);
      break;
    }
    extra = extra.subspan(length);
  }
  return compressed == record.compressed_size && size == record.size;
}

}  // namespace

Status CheckLocalHeader(ReadCache* cache, uint64_t limit, DirectoryEntry* entry) {
  Record& record = entry->record;
  const uint64_t at = record.header_offset;
  const uint64_t named = kLocalSize + record.name.size();
  if (at > limit || named > limit - at) {
    return Error(Code::kCorrupt, "zip: the record at offset {} overlaps what begins at {}", at,
                 limit);
  }
  DCP_ASSIGN_OR_RETURN(Bytes header, cache->Fetch(at, named));
  const uint16_t flags = LoadLe<uint16_t>(header.data() + 6);
  const uint64_t extra_size = LoadLe<uint16_t>(header.data() + 28);
  if (LoadLe<uint32_t>(header.data()) != kLocalSignature) {
    return Error(Code::kCorrupt, "zip: no record at offset {}, where the directory has one", at);
  }
  if (LoadLe<uint16_t>(header.data() + 26) != record.name.size() ||
      AsText(header.subspan(kLocalSize)) != record.name) {
    return Error(Code::kCorrupt, "zip: the record at offset {} has another name than the directory",
                 at);
  }
  constexpr uint16_t kCompared = kFlagEncrypted | kFlagDescriptor | kFlagStrongEncryption;
  if (LoadLe<uint16_t>(header.data() + 8) != record.method ||
      (flags & kCompared) != (entry->flags & kCompared)) {
    return Error(Code::kCorrupt, "zip: the record at offset {} contradicts the directory", at);
  }
  if (extra_size > limit - at - named || record.compressed_size > limit - at - named - extra_size) {
    return Error(Code::kCorrupt,
                 "zip: {} bytes of the record at offset {} overlap what begins at {}",
                 record.compressed_size, at, limit);
  }
  record.data_offset = at + named + extra_size;

  if (!(flags & kFlagDescriptor)) {
    DCP_ASSIGN_OR_RETURN(header, cache->Fetch(at, named + extra_size));
    if (LoadLe<uint32_t>(header.data() + 14) != record.crc32 ||
        !SizesMatch(header.data(), header.subspan(named), record)) {
      return Error(Code::kCorrupt,
                   "zip: CRC or sizes of the record at offset {} contradict the directory", at);
    }
    return Status::Ok();
  }
  const uint64_t behind = record.data_offset + record.compressed_size;
  const uint64_t room = std::min<uint64_t>(limit - behind, 24);
  Bytes descriptor = cache->Find(behind, room);
  if (room < 12 || (!descriptor.empty() && !IsDescriptorOf(descriptor, record))) {
    return Error(Code::kCorrupt, "zip: the data descriptor at offset {} contradicts the directory",
                 behind);
  }
  return Status::Ok();
}

}  // namespace dcp::zip
