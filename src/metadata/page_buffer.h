// Memory for a file that is read once, from front to back: what was used can be given back early.
#ifndef DCP_METADATA_PAGE_BUFFER_H_
#define DCP_METADATA_PAGE_BUFFER_H_

#include "base/bytes.h"

namespace dcp {

class PageBuffer {
 public:
  // Of `size` bytes, zero. Throws std::bad_alloc.
  explicit PageBuffer(size_t size);
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;
  ~PageBuffer();

  Bytes bytes() const { return {data_, size_}; }
  MutableBytes mutable_bytes() { return {data_, size_}; }
  // Gives whole pages before `offset` back to the system; they read as zeros from then on.
  void DiscardBefore(size_t offset);

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t discarded_ = 0;
};

}  // namespace dcp

#endif  // DCP_METADATA_PAGE_BUFFER_H_
