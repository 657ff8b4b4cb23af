// Random access to bytes: what zip and the item readers read through, so that they do no I/O.
#ifndef DCP_BASE_BYTE_SOURCE_H_
#define DCP_BASE_BYTE_SOURCE_H_

#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Fills `out` with the bytes at [offset, offset + out.size()). kCorrupt when that range is not
  // wholly inside the source. Any thread.
  virtual Status ReadAt(uint64_t offset, MutableBytes out) const = 0;
  // [offset, offset + size) will be read soon, in small parts: the source may begin to fetch it.
  // Does not wait, and never fails.
  virtual void WillNeed(uint64_t /*offset*/, uint64_t /*size*/) const {}
  // The whole source when it already lies in memory, else an empty span.
  virtual Bytes InMemory() const { return {}; }
};

// Borrows `bytes`.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(Bytes bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Bytes InMemory() const override { return bytes_; }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return Error(Code::kCorrupt, "range [{}, +{}) is outside the {} bytes there are", offset,
                   out.size(), bytes_.size());
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return Status::Ok();
  }

 private:
  Bytes bytes_;
};

// The window [begin, begin + length) of another source, which must outlive it.
class WindowSource final : public ByteSource {
 public:
  WindowSource(const ByteSource* parent, uint64_t begin, uint64_t length)
      : parent_(parent), begin_(begin), length_(length) {}
  uint64_t size() const override { return length_; }
  Bytes InMemory() const override {
    Bytes all = parent_->InMemory();
    if (begin_ > all.size() || length_ > all.size() - begin_) return {};
    return all.subspan(begin_, length_);
  }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    if (offset > length_ || out.size() > length_ - offset) {
      return Error(Code::kCorrupt, "range [{}, +{}) is outside the {} bytes of this item", offset,
                   out.size(), length_);
    }
    return parent_->ReadAt(begin_ + offset, out);
  }

 private:
  const ByteSource* parent_;
  uint64_t begin_;
  uint64_t length_;
};

}  // namespace dcp

#endif  // DCP_BASE_BYTE_SOURCE_H_
