// CRC32 as zip and zlib compute it (polynomial 0xEDB88320, initial value 0): ISA-L where it was
// built in, zlib else. One pass gives block checksums, and combining them the whole record's.
#ifndef DCP_BASE_CHECKSUM_H_
#define DCP_BASE_CHECKSUM_H_

#include <cstdint>

#include "base/bytes.h"

namespace dcp {

uint32_t Crc32(uint32_t crc, Bytes bytes);  // continue from `crc`; start with 0
// CRC of A followed by B, from their CRCs and B's length in bytes.
uint32_t Crc32Combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);
// Copies `bytes` to `to` and returns the CRC, touching each source byte once from memory.
uint32_t Crc32Copy(uint32_t crc, std::byte* to, Bytes bytes);

// Combines CRCs of equal-sized blocks: the operator for `block_size` is made once.
class Crc32Appender {
 public:
  explicit Crc32Appender(uint64_t block_size);
  uint32_t Append(uint32_t crc, uint32_t block_crc) const;  // `block_crc` covers block_size bytes

 private:
  uint32_t operator_;
};

const char* Crc32Implementation();  // "isa-l" or "zlib"

}  // namespace dcp

#endif  // DCP_BASE_CHECKSUM_H_
