// The checksums of one payload in one pass: a CRC32 for each block and that of the whole.
#ifndef DCP_WRITER_PAYLOAD_CRC_H_
#define DCP_WRITER_PAYLOAD_CRC_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tensorio/tensor_item.h"

namespace dcp {

class PayloadCrc {
 public:
  void Begin(bool keep_blocks) {
    keep_blocks_ = keep_blocks;
    blocks_.clear();
    whole_ = block_ = 0;
    filled_ = 0;
    first_ = true;
  }

  void Add(Bytes bytes) {
    while (!bytes.empty()) {
      const Bytes part = Take(&bytes);
      block_ = Crc32(block_, part);
      Close(part.size());
    }
  }

  void AddCopy(std::byte* to, Bytes bytes) {
    while (!bytes.empty()) {
      const Bytes part = Take(&bytes);
      block_ = Crc32Copy(block_, to, part);
      to += part.size();
      Close(part.size());
    }
  }

  // Ends the payload. Blocks are complete only after it.
  uint32_t End() {
    if (filled_ == 0) return whole_;
    const uint32_t whole = first_ ? block_ : Crc32Combine(whole_, block_, filled_);
    if (keep_blocks_) blocks_.push_back(block_);
    return whole;
  }

  std::span<const uint32_t> blocks() const { return blocks_; }

 private:
  Bytes Take(Bytes* bytes) const {
    const Bytes part = bytes->first(std::min<size_t>(bytes->size(), kChecksumBlock - filled_));
    *bytes = bytes->subspan(part.size());
    return part;
  }

  void Close(size_t added) {
    filled_ += added;
    if (filled_ < kChecksumBlock) return;
    whole_ = first_ ? block_ : appender_.Append(whole_, block_);
    if (keep_blocks_) blocks_.push_back(block_);
    first_ = false;
    block_ = 0;
    filled_ = 0;
  }

  const Crc32Appender appender_{kChecksumBlock};
  bool keep_blocks_ = false;
  bool first_ = true;  // no whole block yet
  std::vector<uint32_t> blocks_;
  uint32_t whole_ = 0;  // of the whole blocks so far
  uint32_t block_ = 0;
  uint64_t filled_ = 0;  // bytes in block_
};

}  // namespace dcp

#endif  // DCP_WRITER_PAYLOAD_CRC_H_
