#include "zip/archive.h"

#include <algorithm>
#include <numeric>

#include "base/checksum.h"
#include "zip/directory.h"
#include "zip/end_record.h"
#include "zip/format.h"
#include "zip/inflate.h"
#include "zip/local_header.h"

namespace dcp::zip {
namespace {

MutableBytes Writable(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

Status CheckLocalHeaders(ReadCache* cache, uint64_t directory_offset,
                         std::vector<DirectoryEntry>* entries) {
  std::vector<uint32_t> order(entries->size());
  std::iota(order.begin(), order.end(), 0);
  auto offset = [&](uint32_t i) { return (*entries)[i].record.header_offset; };
  auto before = [&](uint32_t a, uint32_t b) { return offset(a) < offset(b); };
  if (!std::is_sorted(order.begin(), order.end(), before)) {
    std::sort(order.begin(), order.end(), before);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    uint64_t limit = i + 1 < order.size() ? offset(order[i + 1]) : directory_offset;
    DCP_RETURN_IF_ERROR(CheckLocalHeader(cache, limit, &(*entries)[order[i]]));
  }
  return Status::Ok();
}

// The folder of the first record when all others are in it too.
std::string CommonPrefix(const std::vector<Record>& records) {
  if (records.empty()) return {};
  std::string prefix = records[0].name.substr(0, records[0].name.find('/') + 1);
  for (const Record& record : records) {
    if (!record.name.starts_with(prefix)) return {};
  }
  return prefix;
}

}  // namespace

Result<Archive> Archive::Open(const ByteSource* source, const Limits& limits) {
  Archive archive;
  archive.source_ = source;
  archive.cache_ = std::make_shared<ReadCache>(source);
  DCP_ASSIGN_OR_RETURN(DirectoryLocation location, FindDirectory(archive.cache_.get()));
  // A directory that the first read did not bring is read apart, so that it is not kept.
  std::string own;
  Bytes directory = archive.cache_->Find(location.offset, location.size);
  if (directory.empty() && location.size > 0) {
    own.resize(location.size);
    DCP_RETURN_IF_ERROR(source->ReadAt(location.offset, Writable(own)));
    directory = AsBytes(own);
  }
  DCP_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries,
                       ParseDirectory(directory, location, limits));
  DCP_RETURN_IF_ERROR(CheckLocalHeaders(archive.cache_.get(), location.offset, &entries));

  archive.records_.reserve(entries.size());
  for (DirectoryEntry& entry : entries) archive.records_.push_back(std::move(entry.record));
  archive.prefix_ = CommonPrefix(archive.records_);
  std::vector<uint32_t>& by_name = archive.by_name_;
  by_name.resize(archive.records_.size());
  std::iota(by_name.begin(), by_name.end(), 0);
  const std::vector<Record>& records = archive.records_;
  std::sort(by_name.begin(), by_name.end(),
            [&](uint32_t a, uint32_t b) { return records[a].name < records[b].name; });
  for (size_t i = 1; i < by_name.size(); ++i) {
    if (records[by_name[i - 1]].name == records[by_name[i]].name) {
      return Error(Code::kCorrupt, "zip: records at offsets {} and {} have the same name",
                   records[by_name[i - 1]].header_offset, records[by_name[i]].header_offset);
    }
  }
  return archive;
}

const Record* Archive::Find(std::string_view name) const {
  auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name, [&](uint32_t index, std::string_view wanted) {
        return std::string_view(records_[index].name).substr(prefix_.size()) < wanted;
      });
  if (found == by_name_.end()) return nullptr;
  const Record& record = records_[*found];
  return std::string_view(record.name).substr(prefix_.size()) == name ? &record : nullptr;
}

Status Archive::CheckCrc(const Record& record, Bytes bytes, bool* checked) const {
  if (checked != nullptr) *checked = record.has_crc();
  if (!record.has_crc()) return Status::Ok();
  uint32_t crc = Crc32(0, bytes);
  if (crc == record.crc32) return Status::Ok();
  return Error(Code::kCorrupt, "zip: record data at offset {} has CRC32 {:08x}, not {:08x}",
               record.data_offset, crc, record.crc32);
}

// Memory grows with what comes out, so that a false claim of size costs nothing.
Result<std::string> Archive::Inflate(const Record& record) const {
  constexpr uint64_t kFirst = 65536;
  DCP_ASSIGN_OR_RETURN(InflateStream stream,
                       InflateStream::Create(source_, record.data_offset, record.compressed_size));
  std::string out;
  uint64_t filled = 0;
  while (filled < record.size) {
    out.resize(std::min(record.size, std::max(kFirst, filled * 2)));
    MutableBytes room = Writable(out).subspan(filled);
    DCP_ASSIGN_OR_RETURN(size_t produced, stream.Next(room));
    filled += produced;
    if (produced < room.size()) {
      return Error(Code::kCorrupt, "zip: deflated data at offset {} ends after {} of {} bytes",
                   record.data_offset, filled, record.size);
    }
  }
  DCP_RETURN_IF_ERROR(stream.ExpectEnd());
  if (stream.consumed() != record.compressed_size) {
    return Error(Code::kCorrupt, "zip: deflated data at offset {} uses {} of {} bytes",
                 record.data_offset, stream.consumed(), record.compressed_size);
  }
  return out;
}

Result<std::string> Archive::Read(const Record& record, uint64_t max_size, bool* checked) const {
  if (record.size > max_size) {
    return Error(Code::kLimit, "zip: record data at offset {} has {} bytes, more than {} allowed",
                 record.data_offset, record.size, max_size);
  }
  std::string out;
  if (record.method == kDeflated) {
    DCP_ASSIGN_OR_RETURN(out, Inflate(record));
    DCP_RETURN_IF_ERROR(CheckCrc(record, AsBytes(out), checked));
  } else {
    out.resize(record.size);
    DCP_RETURN_IF_ERROR(ReadInto(record, Writable(out), checked));
  }
  return out;
}

Status Archive::ReadInto(const Record& record, MutableBytes out, bool* checked) const {
  if (out.size() != record.size) {
    return Error(Code::kInternal, "zip: {} bytes of room for a record of {}", out.size(),
                 record.size);
  }
  if (record.method == kDeflated) {
    uint64_t consumed = 0;
    DCP_RETURN_IF_ERROR(
        InflateInto(*source_, record.data_offset, record.compressed_size, out, &consumed));
    if (consumed != record.compressed_size) {
      return Error(Code::kCorrupt, "zip: deflated data at offset {} uses {} of {} bytes",
                   record.data_offset, consumed, record.compressed_size);
    }
  } else if (Bytes found = cache_->Find(record.data_offset, record.size); !found.empty()) {
    std::copy(found.begin(), found.end(), out.begin());
  } else {
    DCP_RETURN_IF_ERROR(source_->ReadAt(record.data_offset, out));
  }
  return CheckCrc(record, out, checked);
}

}  // namespace dcp::zip
