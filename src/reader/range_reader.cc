#include "reader/range_reader.h"

#include <algorithm>

#include "reader/read_plan.h"

namespace dcp {
namespace {

Status ReadBlocking(const ReadableFile& file, uint64_t begin, uint64_t size,
                    const ReaderOptions& options, MutableBytes buffer, const PieceUser& use) {
  const size_t step = std::min(kReadStep, buffer.size()) / kChecksumBlock * kChecksumBlock;
  for (uint64_t at = 0; at < size; at += step) {
    DCP_RETURN_IF_ERROR(options.cancel.Check());
    const MutableBytes out = buffer.first(static_cast<size_t>(std::min<uint64_t>(step, size - at)));
    DCP_RETURN_IF_ERROR(file.ReadAt(begin + at, out));
    DCP_RETURN_IF_ERROR(use(at, out));
  }
  return Status::Ok();
}

}  // namespace

Status ReadRange(const ReadableFile& file, uint64_t begin, uint64_t size,
                 const ReaderOptions& options, const PieceUser& use) {
  if (size == 0) return Status::Ok();
  DCP_ASSIGN_OR_RETURN(PooledBuffer first, options.pool->Acquire(options.cancel, size));
  std::vector<PooledBuffer> buffers;
  buffers.push_back(std::move(first));
  std::unique_ptr<ReadQueue> queue;  // after the buffers that its reads fill
  if (size >= kColdBytes) {
    DCP_ASSIGN_OR_RETURN(queue, file.NewQueue(options.cold && !file.Cached(begin, size)));
    if (queue->alignment() > BufferPool::kAlignment) queue.reset();
  }
  if (queue == nullptr || (queue->depth() <= 1 && queue->alignment() <= 1)) {
    return ReadBlocking(file, begin, size, options, buffers[0].bytes(), use);
  }
  const size_t alignment = queue->alignment();
  const size_t quota = std::max<size_t>(1, std::min(queue->depth(), options.pool->capacity() / 4));
  const uint64_t skipped = begin % alignment;  // of every piece: their sizes are aligned
  const uint64_t room = options.pool->buffer_size() - (skipped > 0 ? kChecksumBlock : 0);
  const uint64_t piece = room / kChecksumBlock * kChecksumBlock;

  std::vector<size_t> free{0};
  std::vector<uint64_t> at_of(quota);  // by buffer
  size_t in_flight = 0;
  for (uint64_t next = 0; next < size || in_flight > 0;) {
    DCP_RETURN_IF_ERROR(options.cancel.Check());
    if (next < size && free.empty() && buffers.size() < quota) {
      DCP_ASSIGN_OR_RETURN(PooledBuffer more, options.pool->TryAcquire(size - next));
      if (more) {
        free.push_back(buffers.size());
        buffers.push_back(std::move(more));
      }
    }
    if (next < size && !free.empty()) {
      const size_t index = free.back();
      free.pop_back();
      at_of[index] = next;
      const uint64_t wanted = std::min(piece, size - next);
      DCP_RETURN_IF_ERROR(
          queue->Start(begin + next - skipped,
                       buffers[index].bytes().first(AlignUp(skipped + wanted, alignment)), index));
      ++in_flight;
      next += wanted;
      continue;
    }
    DCP_ASSIGN_OR_RETURN(const ReadQueue::Done done, queue->Wait());
    --in_flight;
    const uint64_t at = at_of[done.token];
    const uint64_t wanted = std::min(piece, size - at);
    if (done.size < skipped + wanted) {
      return Error(Code::kCorrupt, "'{}' was cut short while it was being read", file.name());
    }
    DCP_RETURN_IF_ERROR(use(at, buffers[done.token].bytes().subspan(skipped, wanted)));
    free.push_back(static_cast<size_t>(done.token));
  }
  return Status::Ok();
}

}  // namespace dcp
