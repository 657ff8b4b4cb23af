// Writes a zip as torch's own writer does, piece by piece, so that payloads never pass through
// here: headers in front, descriptors behind, directory at the end. All sizes are known before
// any payload byte is; only CRCs come later.
#ifndef DCP_ZIP_LAYOUT_H_
#define DCP_ZIP_LAYOUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dcp::zip {

// Records are stored, flags 0x0808 (0x0800 when empty), data starts at a multiple of 64 from the
// archive's start (padded through the "FB" extra field), a data descriptor follows unless the
// record is empty, ZIP64 where a size or an offset reaches 4 GiB - 1, always a ZIP64 end record:
// byte for byte as torch 2.13 writes.
class LayoutWriter {
 public:
  explicit LayoutWriter(std::string_view prefix) : prefix_(prefix) {}  // "archive/"

  // Appends the local header of a record of `size` bytes to `out`; its data must follow at once.
  // A null `out` only counts: for records whose bytes were made before.
  void BeginRecord(std::string_view name, uint64_t size, std::string* out);
  // Appends the data descriptor of the record begun last; a null `out` only counts.
  void EndRecord(uint32_t crc32, std::string* out);
  // Appends central directory, ZIP64 end record and locator, end record.
  void Finish(std::string* out);

  uint64_t position() const { return position_; }  // archive offset of the next byte
  // Bytes that BeginRecord and EndRecord append for a record of `size` bytes whose header is at
  // `header_offset`; `name_size` counts the prefix.
  static uint64_t HeaderSize(uint64_t header_offset, size_t name_size, uint64_t size);
  static uint64_t DescriptorSize(uint64_t header_offset, uint64_t size);
  // Bytes that Finish will append, given what was begun so far.
  uint64_t DirectorySize() const;
  size_t records() const { return entries_.size(); }  // begun so far
  // Where in what Finish appends the CRC of record `index` stands.
  uint64_t CrcInDirectory(size_t index) const;

 private:
  struct Entry {
    uint32_t name_begin, name_length;
    uint64_t header_offset, size;
    uint32_t crc32;
  };
  static uint64_t DirectoryEntrySize(const Entry& entry);

  std::string prefix_;
  std::string names_;
  std::vector<Entry> entries_;
  uint64_t position_ = 0;
};

}  // namespace dcp::zip

#endif  // DCP_ZIP_LAYOUT_H_
