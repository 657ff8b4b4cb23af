// The two ends of an item, kept while all of it streams by: its headers and its directory, which
// need not be read from the file a second time.
#ifndef DCP_READER_ITEM_EDGES_H_
#define DCP_READER_ITEM_EDGES_H_

#include <algorithm>
#include <array>
#include <cstring>

#include "base/byte_source.h"

namespace dcp {

// The item is the window [begin, begin + length) of `file`, which must outlive this. What lies
// between the ends is read from the file. Keep() is for one thread, before ReadAt().
class ItemEdges final : public ByteSource {
 public:
  static constexpr uint64_t kSpan = 8192;  // bytes kept of each end

  ItemEdges(const ByteSource* file, uint64_t begin, uint64_t length)
      : item_(file, begin, length),
        span_(std::min(length, kSpan)),
        ends_{{{0, {}, 0}, {length - span_, {}, 0}}} {}

  // Bytes of the item at `at`. Every byte comes by once, in any order.
  void Keep(uint64_t at, Bytes bytes) {
    for (End& end : ends_) {
      const uint64_t first = std::max(at, end.begin);
      const uint64_t last = std::min(at + bytes.size(), end.begin + span_);
      if (first >= last) continue;
      std::memcpy(end.bytes.data() + (first - end.begin), bytes.data() + (first - at),
                  last - first);
      end.kept += last - first;
    }
  }

  uint64_t size() const override { return item_.size(); }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    for (const End& end : ends_) {
      if (end.kept == span_ && offset >= end.begin && offset - end.begin <= span_ &&
          out.size() <= span_ - (offset - end.begin)) {
        if (!out.empty()) {
          std::memcpy(out.data(), end.bytes.data() + (offset - end.begin), out.size());
        }
        return Status::Ok();
      }
    }
    return item_.ReadAt(offset, out);
  }

 private:
  struct End {
    uint64_t begin;  // in the item
    std::array<std::byte, kSpan> bytes;
    uint64_t kept;
  };
  WindowSource item_;
  uint64_t span_;
  std::array<End, 2> ends_;
};

}  // namespace dcp

#endif  // DCP_READER_ITEM_EDGES_H_
