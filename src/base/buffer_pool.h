// Page-aligned, pre-faulted, reused buffers under one budget. Bounded memory starts here.
#ifndef DCP_BASE_BUFFER_POOL_H_
#define DCP_BASE_BUFFER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/cancel.h"
#include "base/status.h"

namespace dcp {

class BufferPool;

// A buffer on loan; goes back to its pool when destroyed. Movable only.
class PooledBuffer {
 public:
  PooledBuffer() = default;
  PooledBuffer(PooledBuffer&& other) noexcept;
  PooledBuffer& operator=(PooledBuffer&& other) noexcept;
  ~PooledBuffer();
  MutableBytes bytes() const { return {data_, size_}; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  friend class BufferPool;
  void MakeReady(size_t use);

  std::shared_ptr<BufferPool> pool_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  bool ready_ = false;  // its pages are there
};

class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static constexpr size_t kAlignment = 4096;

  // Buffers of `buffer_size` bytes (a multiple of kAlignment), at most budget / buffer_size of
  // them and at least two. Memory is taken on first use and kept until the pool dies.
  static std::shared_ptr<BufferPool> Create(size_t budget, size_t buffer_size);
  ~BufferPool();

  size_t buffer_size() const { return buffer_size_; }
  size_t capacity() const { return capacity_; }  // number of buffers

  // Waits for a free buffer. Whoever holds one and waits for another may deadlock: take what is
  // needed first. kCancelled, or kOutOfMemory when the system has none. `use`: bytes of it that
  // will be touched; all of its pages are made, huge ones if possible, when that is much.
  Result<PooledBuffer> Acquire(const CancelToken& cancel, size_t use);
  // Without waiting; an empty PooledBuffer when all are on loan.
  Result<PooledBuffer> TryAcquire(size_t use);

 private:
  friend class PooledBuffer;
  BufferPool(size_t capacity, size_t buffer_size);
  struct Memory {
    std::byte* data;
    bool ready;
  };
  Result<PooledBuffer> TakeLocked();
  void Release(Memory memory);

  const size_t capacity_;
  const size_t buffer_size_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<Memory> free_;
  std::vector<std::byte*> all_;
};

}  // namespace dcp

#endif  // DCP_BASE_BUFFER_POOL_H_
