// One data file as a stream: what is appended gathers in pooled blocks, several of which are being
// written while the next one fills.
#ifndef DCP_WRITER_FILE_STREAM_H_
#define DCP_WRITER_FILE_STREAM_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer_pool.h"
#include "base/cancel.h"
#include "storage/store.h"

namespace dcp {

// One thread. After an error it can only be destroyed, which waits for writes in flight and
// leaves the file to the caller.
class FileStream {
 public:
  // Uses at most `quota` (>= 1) of the pool's buffers, and gets on with one when there are no more.
  FileStream(std::unique_ptr<WritableFile> file, BufferPool* pool, size_t quota,
             CancelToken cancel);

  uint64_t position() const { return block_begin_ + filled_; }

  Status Append(Bytes bytes);
  Status AppendZeros(uint64_t count);

  // To write in place: at least one free byte, then as many as were filled.
  Result<MutableBytes> Room();
  void Advance(size_t filled) { filled_ += filled; }

  // How many of the `size` bytes at `data` can be written now without a copy; 0 when too few to
  // be worth it. Never more than kStep.
  size_t Sendable(const std::byte* data, uint64_t size) const;
  // Writes `bytes` (as many as Sendable said) from where they are: they must stay until Finish.
  Status Send(Bytes bytes);

  Status Finish(bool durable);

  // Bytes to work on at a time: they stay in the second-level cache between checksum and copy.
  static constexpr size_t kStep = size_t{256} << 10;

 private:
  static constexpr uint64_t kBorrowed = ~uint64_t{0};  // token of a write without a block
  static constexpr size_t kNone = ~size_t{0};

  Status TakeBlock();
  Status FlushBlock();
  Status Start(Bytes bytes, uint64_t token);
  Status WaitOne();

  BufferPool* pool_;
  const size_t quota_;
  const CancelToken cancel_;
  std::vector<PooledBuffer> blocks_;
  std::vector<size_t> free_;  // indices of blocks that are neither current nor being written
  size_t current_ = kNone;
  uint64_t block_begin_ = 0;  // file offset of the current block
  size_t filled_ = 0;         // bytes in the current block
  size_t in_flight_ = 0;
  std::unique_ptr<WritableFile> file_;  // after the blocks: it must be gone before they are
  const size_t alignment_;
  const size_t depth_;
  const size_t block_size_;
};

}  // namespace dcp

#endif  // DCP_WRITER_FILE_STREAM_H_
