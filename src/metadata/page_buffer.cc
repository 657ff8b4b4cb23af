#include "metadata/page_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "base/large_pages.h"

namespace dcp {
namespace {

constexpr size_t kManyPages = 16 << 20;

}  // namespace

PageBuffer::PageBuffer(size_t size) : size_(size) {
  if (size == 0) return;
  void* made = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(made);
  if (size >= kManyPages) PreferLargePages(made, size);
}

PageBuffer::PageBuffer(PageBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      discarded_(std::exchange(other.discarded_, 0)) {}

PageBuffer& PageBuffer::operator=(PageBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(discarded_, other.discarded_);
  return *this;
}

PageBuffer::~PageBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

void PageBuffer::DiscardBefore(size_t offset) {
  // Part of a large page would have to be split off.
  static const auto small = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t page = size_ >= kManyPages ? kLargePage : small;
  const auto start = reinterpret_cast<uintptr_t>(data_);
  const uintptr_t stop = (start + (offset < size_ ? offset : size_)) / page * page;
  if (stop <= start + discarded_) return;
  const size_t end = stop - start;
  // Where this fails the pages merely stay.
  (void)madvise(data_ + discarded_, end - discarded_, MADV_DONTNEED);
  discarded_ = end;
}

}  // namespace dcp
