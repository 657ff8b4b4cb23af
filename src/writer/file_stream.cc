#include "writer/file_stream.h"

#include <algorithm>
#include <cstring>

namespace dcp {
namespace {

constexpr uint64_t kWorthSending = uint64_t{64} << 10;

// A write that blocks copies the block: then it is best still in cache.
size_t BlockSize(const WritableFile& file, const BufferPool& pool) {
  const bool blocking = file.depth() <= 1 && file.alignment() <= 1;
  return blocking ? std::min(FileStream::kStep, pool.buffer_size()) : pool.buffer_size();
}

}  // namespace

FileStream::FileStream(std::unique_ptr<WritableFile> file, BufferPool* pool, size_t quota,
                       CancelToken cancel)
    : pool_(pool),
      quota_(std::max<size_t>(quota, 1)),
      cancel_(std::move(cancel)),
      file_(std::move(file)),
      alignment_(std::max<size_t>(file_->alignment(), 1)),
      depth_(std::max<size_t>(file_->depth(), 1)),
      block_size_(BlockSize(*file_, *pool)) {}

Status FileStream::WaitOne() {
  DCP_ASSIGN_OR_RETURN(uint64_t token, file_->Wait());
  --in_flight_;
  if (token != kBorrowed) free_.push_back(static_cast<size_t>(token));
  return Status::Ok();
}

Status FileStream::Start(Bytes bytes, uint64_t token) {
  while (in_flight_ >= depth_) DCP_RETURN_IF_ERROR(WaitOne());
  DCP_RETURN_IF_ERROR(file_->Start(block_begin_, bytes, token));
  ++in_flight_;
  return Status::Ok();
}

Status FileStream::TakeBlock() {
  DCP_RETURN_IF_ERROR(cancel_.Check());
  // Where writes block the buffer is free again at once; another one would only be colder.
  while (free_.empty() && in_flight_ >= depth_) DCP_RETURN_IF_ERROR(WaitOne());
  if (free_.empty() && blocks_.size() < quota_) {
    // Only the first one is waited for: a thread that holds a buffer must get on with it.
    DCP_ASSIGN_OR_RETURN(PooledBuffer block, blocks_.empty() ? pool_->Acquire(cancel_, block_size_)
                                                             : pool_->TryAcquire(block_size_));
    if (block) {
      blocks_.push_back(std::move(block));
      free_.push_back(blocks_.size() - 1);
    }
  }
  while (free_.empty()) DCP_RETURN_IF_ERROR(WaitOne());
  current_ = free_.back();
  free_.pop_back();
  return Status::Ok();
}

Status FileStream::FlushBlock() {
  if (current_ == kNone || filled_ == 0) return Status::Ok();
  MutableBytes block = blocks_[current_].bytes();
  const size_t padded = AlignUp(filled_, alignment_);
  std::memset(block.data() + filled_, 0, padded - filled_);
  DCP_RETURN_IF_ERROR(Start(block.first(padded), current_));
  block_begin_ += filled_;
  filled_ = 0;
  current_ = kNone;
  return Status::Ok();
}

Result<MutableBytes> FileStream::Room() {
  if (current_ != kNone && filled_ == block_size_) DCP_RETURN_IF_ERROR(FlushBlock());
  if (current_ == kNone) DCP_RETURN_IF_ERROR(TakeBlock());
  return blocks_[current_].bytes().subspan(filled_, block_size_ - filled_);
}

Status FileStream::Append(Bytes bytes) {
  while (!bytes.empty()) {
    DCP_ASSIGN_OR_RETURN(MutableBytes room, Room());
    const size_t part = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), part);
    Advance(part);
    bytes = bytes.subspan(part);
  }
  return Status::Ok();
}

Status FileStream::AppendZeros(uint64_t count) {
  while (count > 0) {
    DCP_ASSIGN_OR_RETURN(MutableBytes room, Room());
    const size_t part = static_cast<size_t>(std::min<uint64_t>(room.size(), count));
    std::memset(room.data(), 0, part);
    Advance(part);
    count -= part;
  }
  return Status::Ok();
}

size_t FileStream::Sendable(const std::byte* data, uint64_t size) const {
  if (size < kWorthSending || position() % alignment_ != 0 ||
      reinterpret_cast<uintptr_t>(data) % alignment_ != 0) {
    return 0;
  }
  // Writes that do not block are few and large, those that do are of what is in cache.
  const size_t most = depth_ > 1 ? pool_->buffer_size() : kStep;
  return static_cast<size_t>(std::min<uint64_t>(size, most)) / alignment_ * alignment_;
}

Status FileStream::Send(Bytes bytes) {
  DCP_RETURN_IF_ERROR(cancel_.Check());
  DCP_RETURN_IF_ERROR(FlushBlock());
  DCP_RETURN_IF_ERROR(Start(bytes, kBorrowed));
  block_begin_ += bytes.size();
  return Status::Ok();
}

Status FileStream::Finish(bool durable) {
  const uint64_t size = position();
  DCP_RETURN_IF_ERROR(FlushBlock());
  while (in_flight_ > 0) DCP_RETURN_IF_ERROR(WaitOne());
  return file_->Finish(size, durable);
}

}  // namespace dcp
