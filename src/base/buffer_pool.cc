#include "base/buffer_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <sys/mman.h>

namespace dcp {
namespace {

// Less is not worth the time that it takes to make the pages of a whole buffer.
constexpr size_t kMuch = 1 << 20;

}  // namespace

PooledBuffer::PooledBuffer(PooledBuffer&& other) noexcept
    : pool_(std::move(other.pool_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      ready_(other.ready_) {}

PooledBuffer& PooledBuffer::operator=(PooledBuffer&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) pool_->Release({data_, ready_});
    pool_ = std::move(other.pool_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    ready_ = other.ready_;
  }
  return *this;
}

PooledBuffer::~PooledBuffer() {
  if (data_ != nullptr) pool_->Release({data_, ready_});
}

void PooledBuffer::MakeReady(size_t use) {
  if (data_ == nullptr || ready_ || use < kMuch) return;
  madvise(data_, size_, MADV_HUGEPAGE);        // best effort
  madvise(data_, size_, MADV_POPULATE_WRITE);  // best effort: Linux 5.14
  ready_ = true;
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
    buffer.data_ = free_.back().data;
    buffer.ready_ = free_.back().ready;
    free_.pop_back();
  } else if (all_.size() < capacity_) {
    void* data =
        mmap(nullptr, buffer_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      return Error(Code::kOutOfMemory, "no memory for an I/O buffer of {} bytes", buffer_size_);
    }
    madvise(data, buffer_size_, MADV_DONTFORK);
    buffer.data_ = static_cast<std::byte*>(data);
    all_.push_back(buffer.data_);
  } else {
    return buffer;
  }
  buffer.size_ = buffer_size_;
  buffer.pool_ = shared_from_this();
  return buffer;
}

Result<PooledBuffer> BufferPool::TryAcquire(size_t use) {
  PooledBuffer buffer;
  {
    std::lock_guard lock(mutex_);
    DCP_ASSIGN_OR_RETURN(buffer, TakeLocked());
  }
  buffer.MakeReady(use);
  return buffer;
}

Result<PooledBuffer> BufferPool::Acquire(const CancelToken& cancel, size_t use) {
  for (;;) {
    DCP_RETURN_IF_ERROR(cancel.Check());
    DCP_ASSIGN_OR_RETURN(PooledBuffer buffer, TryAcquire(use));
    if (buffer) return buffer;
    std::unique_lock lock(mutex_);
    if (free_.empty()) freed_.wait_for(lock, std::chrono::milliseconds(50));
  }
}

void BufferPool::Release(Memory memory) {
  {
    std::lock_guard lock(mutex_);
    free_.push_back(memory);
  }
  freed_.notify_one();
}

}  // namespace dcp
