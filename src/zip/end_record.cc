#include "zip/end_record.h"

#include <algorithm>
#include <optional>

#include "zip/format.h"

namespace dcp::zip {
namespace {

constexpr uint64_t kFirstTail = 8192;  // holds the directory of any tensor's item

struct End {
  uint64_t at;  // offset of the end record
  uint16_t disk, directory_disk, disk_records, records;
  uint32_t directory_size, directory_offset;
};

// The last end record whose comment ends with the archive.
std::optional<End> ScanTail(Bytes tail, uint64_t tail_offset) {
  if (tail.size() < kEndSize) return std::nullopt;
  for (size_t i = tail.size() - kEndSize + 1; i-- > 0;) {
    const std::byte* p = tail.data() + i;
    if (LoadLe<uint32_t>(p) != kEndSignature) continue;
    if (LoadLe<uint16_t>(p + 20) != tail.size() - i - kEndSize) continue;
    return End{tail_offset + i,         LoadLe<uint16_t>(p + 4),  LoadLe<uint16_t>(p + 6),
               LoadLe<uint16_t>(p + 8), LoadLe<uint16_t>(p + 10), LoadLe<uint32_t>(p + 12),
               LoadLe<uint32_t>(p + 16)};
  }
  return std::nullopt;
}

Result<End> FindEnd(ReadCache* cache) {
  const uint64_t size = cache->size();
  for (uint64_t want : {kFirstTail, uint64_t{kEndSize} + kMax16}) {
    uint64_t length = std::min(want, size);
    DCP_ASSIGN_OR_RETURN(Bytes tail, cache->Fetch(size - length, length));
    if (std::optional<End> end = ScanTail(tail, size - length)) return *end;
    if (length == size) break;
  }
  return Error(Code::kCorrupt,
               "not a zip: no end record in the last bytes of {} (truncated, or something else)",
               size);
}

bool Agrees16(uint16_t small, uint64_t large) { return small == kMax16 || small == large; }
bool Agrees32(uint32_t small, uint64_t large) { return small == kMax32 || small == large; }

// Reads the ZIP64 end record if a locator stands before the end record; *begin becomes the first
// byte of the end records.
Result<std::optional<DirectoryLocation>> FindEnd64(ReadCache* cache, const End& end,
                                                   uint64_t* begin) {
  std::optional<DirectoryLocation> none;
  if (end.at < kLocator64Size) return none;
  const uint64_t locator_at = end.at - kLocator64Size;
  DCP_ASSIGN_OR_RETURN(Bytes locator, cache->Fetch(locator_at, kLocator64Size));
  if (LoadLe<uint32_t>(locator.data()) != kLocator64Signature) return none;
  const uint32_t disk = LoadLe<uint32_t>(locator.data() + 4);
  const uint64_t at = LoadLe<uint64_t>(locator.data() + 8);
  const uint32_t disks = LoadLe<uint32_t>(locator.data() + 16);
  if (disk != 0 || disks > 1) {
    return Error(Code::kUnsupported, "zip: archive over several disks");
  }
  if (at > locator_at || locator_at - at < kEnd64Size) {
    return Error(Code::kCorrupt, "zip: ZIP64 locator at {} names offset {} for its end record",
                 locator_at, at);
  }
  DCP_ASSIGN_OR_RETURN(Bytes record, cache->Fetch(at, kEnd64Size));
  const std::byte* p = record.data();
  if (LoadLe<uint32_t>(p) != kEnd64Signature || LoadLe<uint64_t>(p + 4) != locator_at - at - 12) {
    return Error(Code::kCorrupt, "zip: no ZIP64 end record at offset {}", at);
  }
  DirectoryLocation found{LoadLe<uint64_t>(p + 48), LoadLe<uint64_t>(p + 40),
                          LoadLe<uint64_t>(p + 32)};
  if (LoadLe<uint64_t>(p + 16) != 0 || LoadLe<uint64_t>(p + 24) != found.records) {
    return Error(Code::kUnsupported, "zip: archive over several disks");
  }
  if (!Agrees16(end.records, found.records) || !Agrees32(end.directory_size, found.size) ||
      !Agrees32(end.directory_offset, found.offset)) {
    return Error(Code::kCorrupt, "zip: the ZIP64 end record at {} contradicts the end record at {}",
                 at, end.at);
  }
  *begin = at;
  return std::optional<DirectoryLocation>(found);
}

}  // namespace

Result<DirectoryLocation> FindDirectory(ReadCache* cache) {
  DCP_ASSIGN_OR_RETURN(End end, FindEnd(cache));
  uint64_t begin = end.at;
  DCP_ASSIGN_OR_RETURN(std::optional<DirectoryLocation> found, FindEnd64(cache, end, &begin));
  if (end.disk != 0 || end.directory_disk != 0 || end.disk_records != end.records) {
    return Error(Code::kUnsupported, "zip: archive over several disks");
  }
  if (!found) found = DirectoryLocation{end.directory_offset, end.directory_size, end.records};
  uint64_t directory_end;
  if (!CheckedAdd(found->offset, found->size, &directory_end) || directory_end > begin) {
    return Error(Code::kCorrupt,
                 "zip: the directory of {} bytes at offset {} reaches past the end record at {}",
                 found->size, found->offset, begin);
  }
  if (directory_end < begin) {
    return Error(Code::kCorrupt,
                 "zip: {} unknown bytes in front of the archive or behind its directory",
                 begin - directory_end);
  }
  if (found->records > found->size / kDirectorySize) {
    return Error(Code::kCorrupt, "zip: a directory of {} bytes cannot hold {} records", found->size,
                 found->records);
  }
  return *found;
}

}  // namespace dcp::zip
