#include "metadata/trailer.h"

#include "base/checksum.h"

namespace dcp {

void AppendTrailer(uint32_t crc, uint64_t length, std::string* out) {
  out->append(kTrailerMagic);
  AppendLe<uint32_t>(*out, kTrailerVersion);
  AppendLe<uint32_t>(*out, crc);
  AppendLe<uint64_t>(*out, length);
}

bool EndsInTrailer(Bytes file) {
  return file.size() >= kTrailerSize &&
         AsText(file.last(kTrailerSize)).substr(0, kTrailerMagic.size()) == kTrailerMagic;
}

Status CheckTrailer(Bytes file) {
  Bytes before = file.first(file.size() - kTrailerSize);
  const std::byte* at = file.data() + before.size() + kTrailerMagic.size();
  uint32_t version = LoadLe<uint32_t>(at);
  uint32_t crc = LoadLe<uint32_t>(at + 4);
  uint64_t length = LoadLe<uint64_t>(at + 8);
  if (version != kTrailerVersion) {
    return Error(Code::kCorrupt, "the checksum trailer has version {}, known is {}", version,
                 kTrailerVersion);
  }
  if (length != before.size()) {
    return Error(Code::kCorrupt, "the checksum trailer covers {} bytes, but {} lie before it",
                 length, before.size());
  }
  if (uint32_t actual = Crc32(0, before); actual != crc) {
    return Error(Code::kCorrupt,
                 "the file is damaged: its CRC32 is {:08x}, the checksum trailer says {:08x}",
                 actual, crc);
  }
  return Status::Ok();
}

}  // namespace dcp
