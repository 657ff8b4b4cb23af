#include "reader/sweep.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/checksum.h"
#include "base/thread_pool.h"
#include "reader/read_plan.h"

namespace dcp {
namespace {

class Sweeper {
 public:
  Sweeper(const ReadableFile& file, std::span<const SweptRange> ranges,
          const ReaderOptions& options, const SweptUser& use)
      : file_(file),
        ranges_(ranges),
        options_(options),
        use_(use),
        piece_size_(options.pool->buffer_size()),
        appender_(piece_size_),
        states_(ranges.size()) {}

  Status Run() {
    CutPieces();
    const size_t workers = std::max<size_t>(
        1, std::min({WorkerCount(options_.threads), pieces_.size(), options_.pool->capacity()}));
    quota_ = std::max<size_t>(1, options_.pool->capacity() / workers);
    return RunParallel(workers, [this](size_t) {
      Status status = Work();
      if (!status.ok()) stop_ = true;
      return status;
    });
  }

 private:
  // File bytes [begin, end); `begin` is aligned, and so are all ends but a file's.
  struct Piece {
    uint64_t begin;
    uint64_t end;
    size_t first_range;  // that reaches into it
  };
  struct State {
    size_t first_piece = 0;
    std::vector<uint32_t> crcs;       // of the parts, one a piece
    std::atomic<size_t> left{0};      // parts; one that cannot be read stays
    std::unique_ptr<ItemEdges> ends;  // under mutex_ until none is left
  };

  static uint64_t EndOf(const SweptRange& range) { return range.begin + range.size; }

  void CutPieces() {
    for (size_t from = 0; from < ranges_.size();) {
      // What lies close together is read in one go.
      size_t to = from + 1;
      while (to < ranges_.size() && ranges_[to].begin - EndOf(ranges_[to - 1]) <= kJoinGap) ++to;
      const uint64_t end = EndOf(ranges_[to - 1]);
      uint64_t at = ranges_[from].begin / BufferPool::kAlignment * BufferPool::kAlignment;
      for (size_t range = from; at < end; at += piece_size_) {
        const uint64_t stop = std::min(end, at + piece_size_);
        while (EndOf(ranges_[range]) <= at) ++range;
        for (size_t i = range; i < to && ranges_[i].begin < stop; ++i) {
          if (states_[i].crcs.empty()) states_[i].first_piece = pieces_.size();
          states_[i].crcs.push_back(0);
          ++states_[i].left;
        }
        pieces_.push_back({at, stop, range});
      }
      from = to;
    }
  }

  Status Work() {
    DCP_ASSIGN_OR_RETURN(PooledBuffer first, options_.pool->Acquire(options_.cancel, piece_size_));
    std::vector<PooledBuffer> buffers;
    buffers.push_back(std::move(first));
    std::vector<size_t> piece_of(quota_);  // by buffer
    std::vector<size_t> free{0};
    DCP_ASSIGN_OR_RETURN(const std::unique_ptr<ReadQueue> queue, file_.NewQueue(options_.cold));
    const size_t depth = std::min(quota_, std::max<size_t>(queue->depth(), 1));
    size_t in_flight = 0;
    bool more = true;
    for (;;) {
      DCP_RETURN_IF_ERROR(options_.cancel.Check());
      if (stop_.load(std::memory_order_relaxed)) return Status::Ok();
      if (more && free.empty() && buffers.size() < depth) {
        DCP_ASSIGN_OR_RETURN(PooledBuffer another, options_.pool->TryAcquire(piece_size_));
        if (another) {
          free.push_back(buffers.size());
          buffers.push_back(std::move(another));
        }
      }
      if (more && !free.empty() && in_flight < depth) {
        const size_t next = next_.fetch_add(1, std::memory_order_relaxed);
        more = next < pieces_.size();
        if (!more) continue;
        const size_t buffer = free.back();
        const Piece& piece = pieces_[next];
        const size_t size = AlignUp(piece.end - piece.begin, BufferPool::kAlignment);
        if (queue->Start(piece.begin, buffers[buffer].bytes().first(size), buffer).ok()) {
          free.pop_back();
          piece_of[buffer] = next;
          ++in_flight;
        }
        continue;
      }
      if (in_flight == 0) return Status::Ok();
      const Result<ReadQueue::Done> done = queue->Wait();
      // Which read failed is not told. The ranges of those in flight stay unfinished.
      if (!done.ok()) return Status::Ok();
      --in_flight;
      const size_t buffer = static_cast<size_t>(done->token);
      const Piece& piece = pieces_[piece_of[buffer]];
      const size_t wanted = piece.end - piece.begin;
      if (done->size >= wanted) {
        DCP_RETURN_IF_ERROR(Use(piece_of[buffer], buffers[buffer].bytes().first(wanted)));
      }
      free.push_back(buffer);
    }
  }

  Status Use(size_t number, Bytes bytes) {
    const Piece& piece = pieces_[number];
    for (size_t i = piece.first_range; i < ranges_.size() && ranges_[i].begin < piece.end; ++i) {
      const SweptRange& range = ranges_[i];
      const uint64_t begin = std::max(range.begin, piece.begin);
      const uint64_t end = std::min(EndOf(range), piece.end);
      const Bytes part = bytes.subspan(begin - piece.begin, end - begin);
      State& state = states_[i];
      state.crcs[number - state.first_piece] = Crc32(0, part);
      if (begin < range.begin + ItemEdges::kSpan || end + ItemEdges::kSpan > EndOf(range)) {
        std::lock_guard lock(mutex_);
        if (state.ends == nullptr) {
          state.ends = std::make_unique<ItemEdges>(&file_, range.begin, range.size);
        }
        state.ends->Keep(begin - range.begin, part);
      }
      if (state.left.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
      const std::unique_ptr<ItemEdges> ends = std::move(state.ends);
      DCP_RETURN_IF_ERROR(use_(i, WholeCrc(range, state), *ends));
    }
    return Status::Ok();
  }

  uint32_t WholeCrc(const SweptRange& range, const State& state) const {
    uint32_t crc = state.crcs[0];
    for (size_t i = 1; i < state.crcs.size(); ++i) {
      const Piece& piece = pieces_[state.first_piece + i];
      const uint64_t size = std::min(EndOf(range), piece.end) - piece.begin;
      crc = size == piece_size_ ? appender_.Append(crc, state.crcs[i])
                                : Crc32Combine(crc, state.crcs[i], size);
    }
    return crc;
  }

  const ReadableFile& file_;
  const std::span<const SweptRange> ranges_;
  const ReaderOptions& options_;
  const SweptUser& use_;
  const uint64_t piece_size_;
  const Crc32Appender appender_;
  size_t quota_ = 1;  // buffers of one worker
  std::vector<Piece> pieces_;
  std::vector<State> states_;  // by range
  std::atomic<size_t> next_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
};

}  // namespace

Result<bool> CanSweep(const ReadableFile& file, uint64_t begin, uint64_t size,
                      const ReaderOptions& options) {
  if (!options.cold || file.Cached(begin, size)) return false;
  DCP_ASSIGN_OR_RETURN(const std::unique_ptr<ReadQueue> queue, file.NewQueue(true));
  return queue->depth() > 1 && queue->alignment() <= BufferPool::kAlignment;
}

Status Sweep(const ReadableFile& file, std::span<const SweptRange> ranges,
             const ReaderOptions& options, const SweptUser& use) {
  return ranges.empty() ? Status::Ok() : Sweeper(file, ranges, options, use).Run();
}

}  // namespace dcp
