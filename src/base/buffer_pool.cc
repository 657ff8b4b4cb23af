#include "base/buffer_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <sys/mman.h>

namespace dcp {

PooledBuffer::PooledBuffer(PooledBuffer&& other) noexcept
    : pool_(std::move(other.pool_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

PooledBuffer& PooledBuffer::operator=(PooledBuffer&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) pool_->Release(data_);
    pool_ = std::move(other.pool_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

PooledBuffer::~PooledBuffer() {
  if (data_ != nullptr) pool_->Release(data_);
}

std::shared_ptr<BufferPool> BufferPool::Create(size_t budget, size_t buffer_size) {
  buffer_size = AlignUp(std::max<size_t>(buffer_size, kAlignment), kAlignment);
  size_t capacity = std::max<size_t>(budget / buffer_size, 2);
  return std::shared_ptr<BufferPool>(new BufferPool(capacity, buffer_size));
}

BufferPool::BufferPool(size_t capacity, size_t buffer_size)
    : capacity_(capacity), buffer_size_(buffer_size) {
  free_.reserve(capacity);  // so that Release never allocates
  all_.reserve(capacity);
}

BufferPool::~BufferPool() {
  for (std::byte* data : all_) munmap(data, buffer_size_);
}

Result<PooledBuffer> BufferPool::TakeLocked() {
  PooledBuffer buffer;
  if (!free_.empty()) {
    buffer.data_ = free_.back();
    free_.pop_back();
  } else if (all_.size() < capacity_) {
    void* data =
        mmap(nullptr, buffer_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      return Error(Code::kOutOfMemory, "no memory for an I/O buffer of {} bytes", buffer_size_);
    }
    madvise(data, buffer_size_, MADV_HUGEPAGE);  // best effort
    madvise(data, buffer_size_, MADV_DONTFORK);
    madvise(data, buffer_size_, MADV_POPULATE_WRITE);  // best effort: Linux 5.14
    buffer.data_ = static_cast<std::byte*>(data);
    all_.push_back(buffer.data_);
  } else {
    return buffer;
  }
  buffer.size_ = buffer_size_;
  buffer.pool_ = shared_from_this();
  return buffer;
}

Result<PooledBuffer> BufferPool::TryAcquire() {
  std::lock_guard lock(mutex_);
  return TakeLocked();
}

Result<PooledBuffer> BufferPool::Acquire(const CancelToken& cancel) {
  std::unique_lock lock(mutex_);
  for (;;) {
    DCP_RETURN_IF_ERROR(cancel.Check());
    DCP_ASSIGN_OR_RETURN(PooledBuffer buffer, TakeLocked());
    if (buffer) return buffer;
    freed_.wait_for(lock, std::chrono::milliseconds(50));
  }
}

void BufferPool::Release(std::byte* data) {
  {
    std::lock_guard lock(mutex_);
    free_.push_back(data);
  }
  freed_.notify_one();
}

}  // namespace dcp
