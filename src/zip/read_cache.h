// Few and small reads: bytes once read while an archive is opened are kept, within a bound, and
// asked for again without going to the source.
#ifndef DCP_ZIP_READ_CACHE_H_
#define DCP_ZIP_READ_CACHE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_source.h"

namespace dcp::zip {

// Fetch is for one thread; Find may then be called from any number.
class ReadCache {
 public:
  static constexpr uint64_t kSpan = 4096;  // bytes read at least, where the source has them
  static constexpr size_t kKept = 16;      // spans kept; the newest makes room

  explicit ReadCache(const ByteSource* source) : source_(source), memory_(source->InMemory()) {}

  uint64_t size() const { return source_->size(); }
  // The bytes [offset, offset + length), reading them (and what follows, up to kSpan) if needed.
  // Borrowed until the next Fetch. kCorrupt when they are not all inside the source.
  Result<Bytes> Fetch(uint64_t offset, uint64_t length);
  // The same without reading: empty when they are not at hand.
  Bytes Find(uint64_t offset, uint64_t length) const;

 private:
  struct Span {
    uint64_t begin;
    std::string bytes;
  };
  const ByteSource* source_;
  Bytes memory_;  // the whole source, or empty
  std::vector<Span> spans_;
};

}  // namespace dcp::zip

#endif  // DCP_ZIP_READ_CACHE_H_
