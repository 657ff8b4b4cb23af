// A window on a file that counts the bytes read through it.
#ifndef DCP_READER_COUNTING_SOURCE_H_
#define DCP_READER_COUNTING_SOURCE_H_

#include <atomic>

#include "base/byte_source.h"

namespace dcp {

// `file` and `counter` must outlive it; `counter` may be null.
class CountingSource final : public ByteSource {
 public:
  CountingSource(const ByteSource* file, uint64_t begin, uint64_t length,
                 std::atomic<uint64_t>* counter)
      : window_(file, begin, length), counter_(counter) {}
  uint64_t size() const override { return window_.size(); }
  Bytes InMemory() const override { return window_.InMemory(); }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    if (counter_ != nullptr) counter_->fetch_add(out.size(), std::memory_order_relaxed);
    return window_.ReadAt(offset, out);
  }

 private:
  WindowSource window_;
  std::atomic<uint64_t>* counter_;
};

}  // namespace dcp

#endif  // DCP_READER_COUNTING_SOURCE_H_
