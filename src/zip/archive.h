// Reads a zip from a ByteSource: stored and deflated records, ZIP64, any layout a torch writer or
// Python's zipfile makes. The central directory is trusted for nothing that was not checked
// against the archive's size and the local headers.
#ifndef DCP_ZIP_ARCHIVE_H_
#define DCP_ZIP_ARCHIVE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "zip/read_cache.h"

namespace dcp::zip {

struct Record {
  std::string name;
  uint64_t header_offset;    // of the local header, from the archive's start
  uint64_t data_offset;      // of the first data byte
  uint64_t compressed_size;  // bytes in the archive
  uint64_t size;             // bytes when read
  uint32_t crc32;            // of the bytes when read; 0 may mean "not computed" (see has_crc)
  uint16_t method;           // 0 stored, 8 deflated
  bool described;            // a descriptor behind the data repeats CRC and sizes
  uint64_t entry_offset;     // of its entry in the directory, from the archive's start
  // torch can be told to leave every CRC 0: then there is nothing to check.
  bool has_crc() const { return crc32 != 0 || size == 0; }
};

struct Limits {
  uint64_t max_records = 1 << 24;  // and never more than the archive's size can hold
  uint64_t max_expansion = 1032;   // deflate's own maximum; a larger claim is refused
};

class Archive {
 public:
  // Reads the end record and the central directory, then each record's local header. kCorrupt
  // (with the offset) on anything inconsistent: overlap, a record outside the archive, names that
  // differ, sizes that lie, duplicate names. `source` must outlive the archive.
  static Result<Archive> Open(const ByteSource* source, const Limits& limits);
  static Result<Archive> Open(const ByteSource* source) { return Open(source, Limits()); }

  const std::vector<Record>& records() const { return records_; }
  // The record whose name is `name` after the archive's prefix, or null. The prefix is the folder
  // that all records are in ("archive/"), empty when there is none.
  const Record* Find(std::string_view name) const;
  std::string_view prefix() const { return prefix_; }  // with its slash; may be empty

  // The record's bytes, inflated if need be. Checks the CRC unless it is absent; *checked (may be
  // null) says whether it was. kLimit when larger than `max_size`.
  Result<std::string> Read(const Record& record, uint64_t max_size, bool* checked = nullptr) const;
  // Same into memory of exactly record.size bytes.
  Status ReadInto(const Record& record, MutableBytes out, bool* checked = nullptr) const;

 private:
  Result<std::string> Inflate(const Record& record) const;
  Status CheckCrc(const Record& record, Bytes bytes, bool* checked) const;

  const ByteSource* source_ = nullptr;
  std::shared_ptr<ReadCache> cache_;  // shared by copies; only searched after Open
  std::vector<Record> records_;       // in the directory's order
  std::vector<uint32_t> by_name_;     // indices into records_, sorted by name
  std::string prefix_;
};

}  // namespace dcp::zip

#endif  // DCP_ZIP_ARCHIVE_H_
