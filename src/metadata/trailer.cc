#include "metadata/trailer.h"

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

Status CheckTrailer(Bytes trailer, uint64_t length, uint32_t crc) {
  const std::byte* at = trailer.data() + kTrailerMagic.size();
  const auto version = LoadLe<uint32_t>(at);
  const auto stated_crc = LoadLe<uint32_t>(at + 4);
  const auto stated_length = LoadLe<uint64_t>(at + 8);
  if (version != kTrailerVersion) {
    return Error(Code::kCorrupt, "the checksum trailer has version {}, known is {}", version,
                 kTrailerVersion);
  }
  if (stated_length != length) {
    return Error(Code::kCorrupt, "the checksum trailer covers {} bytes, but {} lie before it",
                 stated_length, length);
  }
  if (stated_crc != crc) {
    return Error(Code::kCorrupt,
                 "the file is damaged: its CRC32 is {:08x}, the checksum trailer says {:08x}", crc,
                 stated_crc);
  }
  return Status::Ok();
}

}  // namespace dcp
