#include "zip/layout.h"

#include <algorithm>

#include "base/bytes.h"
#include "zip/format.h"

namespace dcp::zip {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint16_t kMadeBy = 0x031e;  // of the ZIP64 end record; 0 elsewhere
constexpr uint16_t kNeeded = 45;      // likewise

bool Large(uint64_t value) { return value >= kMax32; }
// An empty record has no descriptor and does not announce one.
uint16_t Flags(uint64_t size) {
  return static_cast<uint16_t>(size == 0 ? kFlagUtf8 : kFlagDescriptor | kFlagUtf8);
}
uint32_t Low32(uint64_t value) { return static_cast<uint32_t>(std::min<uint64_t>(value, kMax32)); }
uint16_t Low16(uint64_t value) { return static_cast<uint16_t>(std::min<uint64_t>(value, kMax16)); }

// Bytes of the ZIP64 extra field, its four byte head included; 0 when there is none.
uint64_t Extra64Size(uint64_t header_offset, uint64_t size) {
  uint64_t body = (Large(size) ? 16 : 0) + (Large(header_offset) ? 8 : 0);
  return body == 0 ? 0 : 4 + body;
}

// The local header says 0 for the compressed size, the directory says the size.
void AppendExtra64(uint64_t header_offset, uint64_t size, uint64_t compressed_size,
                   std::string* out) {
  uint64_t bytes = Extra64Size(header_offset, size);
  if (bytes == 0) return;
  AppendLe<uint16_t>(*out, kExtraZip64);
  AppendLe<uint16_t>(*out, static_cast<uint16_t>(bytes - 4));
  if (Large(size)) {
    AppendLe<uint64_t>(*out, size);
    AppendLe<uint64_t>(*out, compressed_size);
  }
  if (Large(header_offset)) AppendLe<uint64_t>(*out, header_offset);
}

}  // namespace

uint64_t LayoutWriter::HeaderSize(uint64_t header_offset, size_t name_size, uint64_t size) {
  uint64_t unpadded = kLocalSize + name_size + Extra64Size(header_offset, size) + 4;
  return AlignUp(header_offset + unpadded, kAlignment) - header_offset;
}

uint64_t LayoutWriter::DescriptorSize(uint64_t header_offset, uint64_t size) {
  if (size == 0) return 0;
  return Large(size) || Large(header_offset) ? 24 : 16;
}

void LayoutWriter::BeginRecord(std::string_view name, uint64_t size, std::string* out) {
  Entry entry{};
  entry.name_begin = static_cast<uint32_t>(names_.size());
  entry.header_offset = position_;
  entry.size = size;
  if (entries_.empty()) {
    entries_.reserve(8);  // a tensor's item has seven or eight
    names_.reserve(192);
  }
  names_ += prefix_;
  names_ += name;
  entry.name_length = static_cast<uint32_t>(names_.size() - entry.name_begin);
  uint64_t header_size = HeaderSize(position_, entry.name_length, size);
  entries_.push_back(entry);
  position_ += header_size + size;
  if (out == nullptr) return;

  uint64_t extra64 = Extra64Size(entry.header_offset, size);
  uint64_t padding = header_size - kLocalSize - entry.name_length - extra64 - 4;
  AppendLe<uint32_t>(*out, kLocalSignature);
  AppendLe<uint16_t>(*out, 0);  // version needed
  AppendLe<uint16_t>(*out, Flags(size));
  AppendLe<uint16_t>(*out, kStored);
  out->append(16, '\0');  // time, date, CRC and both sizes
  AppendLe<uint16_t>(*out, static_cast<uint16_t>(entry.name_length));
  AppendLe<uint16_t>(*out, static_cast<uint16_t>(extra64 + 4 + padding));
  out->append(names_, entry.name_begin, entry.name_length);
  AppendExtra64(entry.header_offset, size, 0, out);
  out->append("FB");
  AppendLe<uint16_t>(*out, static_cast<uint16_t>(padding));
  out->append(padding, 'Z');
}

void LayoutWriter::EndRecord(uint32_t crc32, std::string* out) {
  Entry& entry = entries_.back();
  entry.crc32 = crc32;
  uint64_t descriptor = DescriptorSize(entry.header_offset, entry.size);
  position_ += descriptor;
  if (out == nullptr || descriptor == 0) return;
  AppendLe<uint32_t>(*out, kDescriptorSignature);
  AppendLe<uint32_t>(*out, crc32);
  if (descriptor == 24) {
    AppendLe<uint64_t>(*out, entry.size);
    AppendLe<uint64_t>(*out, entry.size);
  } else {
    AppendLe<uint32_t>(*out, static_cast<uint32_t>(entry.size));
    AppendLe<uint32_t>(*out, static_cast<uint32_t>(entry.size));
  }
}

uint64_t LayoutWriter::DirectoryEntrySize(const Entry& entry) {
  return kDirectorySize + entry.name_length + Extra64Size(entry.header_offset, entry.size);
}

uint64_t LayoutWriter::DirectorySize() const {
  uint64_t bytes = kEnd64Size + kLocator64Size + kEndSize;
  for (const Entry& entry : entries_) bytes += DirectoryEntrySize(entry);
  return bytes;
}

uint64_t LayoutWriter::CrcInDirectory(size_t index) const {
  uint64_t bytes = 16;  // of the entry's fixed part
  for (size_t i = 0; i < index; ++i) bytes += DirectoryEntrySize(entries_[i]);
  return bytes;
}

void LayoutWriter::Finish(std::string* out) {
  const uint64_t directory_offset = position_;
  const size_t begin = out->size();
  out->reserve(begin + DirectorySize());
  for (const Entry& entry : entries_) {
    AppendLe<uint32_t>(*out, kDirectorySignature);
    AppendLe<uint16_t>(*out, 0);  // made by
    AppendLe<uint16_t>(*out, 0);  // needed
    AppendLe<uint16_t>(*out, Flags(entry.size));
    AppendLe<uint16_t>(*out, kStored);
    AppendLe<uint32_t>(*out, 0);  // time and date
    AppendLe<uint32_t>(*out, entry.crc32);
    AppendLe<uint32_t>(*out, Low32(entry.size));
    AppendLe<uint32_t>(*out, Low32(entry.size));
    AppendLe<uint16_t>(*out, static_cast<uint16_t>(entry.name_length));
    AppendLe<uint16_t>(*out, static_cast<uint16_t>(Extra64Size(entry.header_offset, entry.size)));
    out->append(10, '\0');  // comment length, disk, attributes
    AppendLe<uint32_t>(*out, Low32(entry.header_offset));
    out->append(names_, entry.name_begin, entry.name_length);
    AppendExtra64(entry.header_offset, entry.size, entry.size, out);
  }
  const uint64_t directory_size = out->size() - begin;
  const uint64_t end64_offset = directory_offset + directory_size;
  const uint64_t count = entries_.size();

  AppendLe<uint32_t>(*out, kEnd64Signature);
  AppendLe<uint64_t>(*out, kEnd64Size - 12);
  AppendLe<uint16_t>(*out, kMadeBy);
  AppendLe<uint16_t>(*out, kNeeded);
  AppendLe<uint64_t>(*out, 0);  // both disk numbers
  AppendLe<uint64_t>(*out, count);
  AppendLe<uint64_t>(*out, count);
  AppendLe<uint64_t>(*out, directory_size);
  AppendLe<uint64_t>(*out, directory_offset);

  AppendLe<uint32_t>(*out, kLocator64Signature);
  AppendLe<uint32_t>(*out, 0);
  AppendLe<uint64_t>(*out, end64_offset);
  AppendLe<uint32_t>(*out, 1);  // disks

  AppendLe<uint32_t>(*out, kEndSignature);
  AppendLe<uint32_t>(*out, 0);
  AppendLe<uint16_t>(*out, Low16(count));
  AppendLe<uint16_t>(*out, Low16(count));
  AppendLe<uint32_t>(*out, Low32(directory_size));
  AppendLe<uint32_t>(*out, Low32(directory_offset));
  AppendLe<uint16_t>(*out, 0);
  position_ += out->size() - begin;
}

}  // namespace dcp::zip
