#include "base/checksum.h"

#include <algorithm>

#include <zlib.h>
#if DCP_WITH_ISAL
#include <isa-l/crc.h>
#endif

namespace dcp {

uint32_t Crc32(uint32_t crc, Bytes bytes) {
#if DCP_WITH_ISAL
  return crc32_gzip_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
#else
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
#endif
}

uint32_t Crc32Combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b) {
  return static_cast<uint32_t>(crc32_combine(crc_a, crc_b, static_cast<z_off_t>(length_b)));
}

uint32_t Crc32Copy(uint32_t crc, std::byte* to, Bytes bytes) {
  constexpr size_t kStep = 8192;  // stays in the first-level cache between the two passes
  while (!bytes.empty()) {
    Bytes step = bytes.first(std::min(bytes.size(), kStep));
    crc = Crc32(crc, step);
    std::memcpy(to, step.data(), step.size());
    to += step.size();
    bytes = bytes.subspan(step.size());
  }
  return crc;
}

Crc32Appender::Crc32Appender(uint64_t block_size)
    : operator_(static_cast<uint32_t>(crc32_combine_gen(static_cast<z_off_t>(block_size)))) {}

uint32_t Crc32Appender::Append(uint32_t crc, uint32_t block_crc) const {
  return static_cast<uint32_t>(crc32_combine_op(crc, block_crc, operator_));
}

const char* Crc32Implementation() {
#if DCP_WITH_ISAL
  return "isa-l";
#else
  return "zlib";
#endif
}

}  // namespace dcp
