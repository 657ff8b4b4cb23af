#include "reader/read_plan.h"

#include <algorithm>
#include <mutex>

#include "base/thread_pool.h"
#include "reader/counting_source.h"
#include "reader/stored_check.h"
#include "value/cast.h"
#include "value/names.h"

namespace dcp {
namespace {

// Room in a buffer for what O_DIRECT reads before and behind the bytes that are wanted.
constexpr uint64_t kAlignmentRoom = 2 * BufferPool::kAlignment;
constexpr uint64_t kQueuedSpan = 4 << 20;  // bytes of small items read at once: many in flight
constexpr uint64_t kSharedPiece = SharedPieces::kSlotBytes;
constexpr uint64_t kBlockingSpan = 512 << 10;  // the same where they are then used from cache

Status CheckRead(const Metadata& metadata, const TensorRead& read) {
  if (read.entry == nullptr || read.entry->kind != EntryKind::kTensor) {
    return Error(Code::kInvalidArgument, "'{}' is no tensor; read it as an object",
                 read.entry == nullptr ? "(null)" : PrintableName(read.entry->name));
  }
  const Entry& entry = *read.entry;
  DCP_ASSIGN_OR_RETURN(ItemPlace place, FindItem(metadata, entry, read.chunk));
  if (!entry.unknown_dtype.empty()) {
    return AboutItem(Error(Code::kUnsupported, "its type '{}' is not known here",
                           PrintableName(entry.unknown_dtype)),
                     place);
  }
  const Dims sizes = entry.chunk(read.chunk).sizes;
  bool inside = read.storage_offsets.size() == sizes.size() && read.lengths.size() == sizes.size();
  for (size_t i = 0; inside && i < sizes.size(); ++i) {
    inside = read.storage_offsets[i] >= 0 && read.lengths[i] >= 0 &&
             read.storage_offsets[i] <= sizes[i] &&
             read.lengths[i] <= sizes[i] - read.storage_offsets[i];
  }
  if (!inside) {
    return AboutItem(Error(Code::kInvalidArgument, "the box at {} of size {} is not inside {}",
                           ToString(read.storage_offsets), ToString(read.lengths), ToString(sizes)),
                     place);
  }
  if (!std::ranges::equal(read.dest.shape, read.lengths) ||
      read.dest.strides.size() != read.lengths.size()) {
    return AboutItem(Error(Code::kInvalidArgument, "the target has shape {}, the box {}",
                           ToString(read.dest.shape), ToString(read.lengths)),
                     place);
  }
  if (read.dest.read_only) {
    return AboutItem(Status(Code::kInvalidArgument, "the target is read-only"), place);
  }
  if (read.dest.dtype != entry.properties.dtype &&
      !CanCast(entry.properties.dtype, read.dest.dtype)) {
    return AboutItem(Error(Code::kUnsupported, "{} cannot be converted to {}",
                           DTypeName(entry.properties.dtype), DTypeName(read.dest.dtype)),
                     place);
  }
  return Status::Ok();
}

class Planner {
 public:
  Planner(ItemReader& reader, const Metadata& metadata, const ReaderOptions& options,
          std::atomic<uint64_t>* bytes_read)
      : reader_(reader), metadata_(metadata), options_(options), bytes_read_(bytes_read) {
    const uint64_t buffer = options.pool->buffer_size() / kChecksumBlock * kChecksumBlock;
    aligned_piece_ = buffer;
    any_piece_ = buffer - kChecksumBlock;
    static_assert(kAlignmentRoom <= kChecksumBlock);
  }

  Result<ReadPlan> Make(std::span<const TensorRead> reads) {
    DCP_RETURN_IF_ERROR(SortReads(reads));
    GroupItems();
    for (FileReads& file : plan_.files) DCP_RETURN_IF_ERROR(OpenFile(file));
    DCP_RETURN_IF_ERROR(ReadHeaders());
    for (uint32_t i = 0; i < plan_.files.size(); ++i) {
      DCP_RETURN_IF_ERROR(PlanLarge(plan_.files[i]));
      DCP_RETURN_IF_ERROR(ChooseQueue(plan_.files[i]));
      CutFile(i);
    }
    return std::move(plan_);
  }

 private:
  // What to do with one item, decided by its header when that had to be read.
  struct Choice {
    PieceKind kind = PieceKind::kSpan;
    std::unique_ptr<const StoredTensor> stored;  // kLarge
    uint32_t large = 0;                          // kLarge: first of ReadPlan::large
  };

  Status SortReads(std::span<const TensorRead> reads) {
    plan_.order.reserve(reads.size());
    for (const TensorRead& read : reads) {
      DCP_RETURN_IF_ERROR(CheckRead(metadata_, read));
      if (read.dest.num_elements() > 0) plan_.order.push_back(&read);
    }
    const auto before = [](const TensorRead* a, const TensorRead* b) {
      const Location& left = a->entry->locations[a->chunk];
      const Location& right = b->entry->locations[b->chunk];
      return std::tie(left.file, left.offset, a->entry, a->chunk) <
             std::tie(right.file, right.offset, b->entry, b->chunk);
    };
    if (!std::is_sorted(plan_.order.begin(), plan_.order.end(), before)) {
      std::stable_sort(plan_.order.begin(), plan_.order.end(), before);
    }
    return Status::Ok();
  }

  void GroupItems() {
    const auto& order = plan_.order;
    for (uint32_t i = 0; i < order.size();) {
      ItemReads item;
      item.place = {&metadata_, order[i]->entry, order[i]->chunk};
      item.begin = i;
      while (i < order.size() && order[i]->entry == item.place.entry &&
             order[i]->chunk == item.place.chunk) {
        ++i;
      }
      item.end = i;
      const uint32_t file = item.place.location().file;
      if (plan_.files.empty() || plan_.files.back().file != file) {
        FileReads reads;
        reads.file = file;
        reads.begin = static_cast<uint32_t>(plan_.items.size());
        plan_.files.push_back(reads);
      }
      plan_.items.push_back(item);
      plan_.files.back().end = static_cast<uint32_t>(plan_.items.size());
      plan_.files.back().bytes += item.place.length();
    }
  }

  Status OpenFile(FileReads& file) {
    const ItemPlace& first = plan_.items[file.begin].place;
    auto opened = reader_.OpenFile(file.file);
    if (!opened.ok()) return AboutItem(opened.status(), first);
    const std::shared_ptr<ReadableFile> handle = *std::move(opened);
    for (uint32_t i = file.begin; i < file.end; ++i) {
      const ItemPlace& place = plan_.items[i].place;
      DCP_RETURN_IF_ERROR(AboutItem(CheckInsideFile(place, handle->size()), place));
    }
    return Status::Ok();
  }

  // Bytes between those that are wanted are the other ranks': a host that reads through its page
  // cache reads them once for all of its ranks.
  bool MostlyForOthers(const FileReads& file) const {
    uint64_t wanted = 0;
    uint64_t read = 0;
    for (uint32_t i = file.begin; i < file.end; ++i) {
      const ItemReads& item = plan_.items[i];
      if (choices_[i].kind != PieceKind::kLarge) {
        wanted += item.place.length();
        read += item.place.length();
        continue;
      }
      for (uint32_t n = 0; n < item.end - item.begin; ++n) {
        const LargeRead& large = *plan_.large[choices_[i].large + n];
        wanted += large.runs.bytes();
        for (const ByteRange& range : large.ranges) read += range.size();
      }
    }
    return wanted < read / 2;
  }

  Status ChooseQueue(FileReads& file) {
    if (file.bytes < kColdBytes) return Status::Ok();
    DCP_ASSIGN_OR_RETURN(const std::shared_ptr<ReadableFile> handle, reader_.OpenFile(file.file));
    const uint64_t begin = plan_.items[file.begin].place.offset();
    const ItemPlace& last = plan_.items[file.end - 1].place;
    const bool for_others = MostlyForOthers(file);
    file.cold = options_.cold && !for_others &&
                !handle->Cached(begin, last.offset() + last.length() - begin);
    if (for_others && options_.shared != nullptr) {
      const std::optional<FileIdentity> identity = handle->identity();
      file.shared = identity.has_value();
      if (file.shared) file.identity = *identity;
    }
    DCP_ASSIGN_OR_RETURN(std::unique_ptr<ReadQueue> queue, handle->NewQueue(file.cold));
    file.queued = queue->depth() > 1 || queue->alignment() > 1;
    return Status::Ok();
  }

  bool IsSmall(const ItemReads& item) const {
    const uint64_t length = item.place.length();
    if (length <= kTinyItem) return true;
    if (length > kSmallItem || length + kAlignmentRoom > options_.pool->buffer_size()) return false;
    uint64_t wanted = 0;
    for (uint32_t i = item.begin; i < item.end; ++i) {
      wanted += static_cast<uint64_t>(plan_.order[i]->dest.num_elements() *
                                      DTypeSize(item.place.entry->properties.dtype));
    }
    return wanted >= length / 2;
  }

  Status ReadHeaders() {
    choices_.resize(plan_.items.size());
    std::vector<uint32_t> large;
    for (uint32_t i = 0; i < plan_.items.size(); ++i) {
      if (!plan_.items[i].place.transforms().empty()) {
        choices_[i].kind = PieceKind::kWhole;
      } else if (!IsSmall(plan_.items[i])) {
        large.push_back(i);
      }
    }
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    const size_t workers = std::min(WorkerCount(options_.threads, kHeaderWorkers), large.size());
    return RunParallel(workers, [&](size_t) {
      for (size_t i; !stop && (i = next.fetch_add(1)) < large.size();) {
        const ItemPlace& place = plan_.items[large[i]].place;
        Status status = AboutItem(ReadHeader(place, &choices_[large[i]]), place);
        if (!status.ok()) {
          stop = true;
          return status;
        }
      }
      return Status::Ok();
    });
  }

  Status ReadHeader(const ItemPlace& place, Choice* choice) {
    DCP_RETURN_IF_ERROR(options_.cancel.Check());
    DCP_ASSIGN_OR_RETURN(std::shared_ptr<ReadableFile> file,
                         reader_.OpenFile(place.location().file));
    const CountingSource item(file.get(), place.offset(), place.length(), bytes_read_);
    DCP_ASSIGN_OR_RETURN(StoredTensor stored, ParseTensorItem(item));
    DCP_RETURN_IF_ERROR(CheckLoadable(stored, place));
    DCP_RETURN_IF_ERROR(CheckRecords(stored, place.length()));
    const Shape origin(stored.shape.size(), 0);
    // Read once the payload was, when it would have to wait behind other large reads.
    if (stored.block_table_offset && *stored.block_table_offset < place.length()) {
      file->WillNeed(place.offset() + *stored.block_table_offset,
                     place.length() - *stored.block_table_offset);
    }
    const bool plain = !stored.deflated && BoxRuns::Create(stored, origin, stored.shape);
    choice->kind = plain ? PieceKind::kLarge : PieceKind::kWhole;
    if (plain) choice->stored = std::make_unique<StoredTensor>(std::move(stored));
    return Status::Ok();
  }

  // Makes the file's LargeReads, but for their pieces.
  Status PlanLarge(const FileReads& file) {
    for (uint32_t i = file.begin; i < file.end; ++i) {
      Choice& choice = choices_[i];
      if (choice.kind != PieceKind::kLarge) continue;
      choice.large = static_cast<uint32_t>(plan_.large.size());
      const ItemReads& item = plan_.items[i];
      for (uint32_t read = item.begin; read < item.end; ++read) {
        DCP_RETURN_IF_ERROR(
            AboutItem(AddLarge(item, *plan_.order[read], *choice.stored), item.place));
      }
    }
    return Status::Ok();
  }

  void CutFile(uint32_t index) {
    const FileReads& file = plan_.files[index];
    const uint64_t span = std::min(file.queued ? kQueuedSpan : kBlockingSpan, any_piece_);
    Piece joined;  // the span being gathered; count 0 when there is none
    joined.file = index;
    const auto flush = [&] {
      if (joined.count > 0) plan_.pieces.push_back(joined);
      joined.count = 0;
    };
    for (uint32_t i = file.begin; i < file.end; ++i) {
      const ItemReads& item = plan_.items[i];
      const Choice& choice = choices_[i];
      if (choice.kind == PieceKind::kSpan) {
        const uint64_t begin = item.place.offset();
        const uint64_t end = begin + item.place.length();
        const bool joins = joined.count > 0 && joined.index + joined.count == i &&
                           begin <= joined.begin + joined.size + kJoinGap &&
                           end <= joined.begin + span;
        if (!joins) {
          flush();
          joined.index = i;
          joined.begin = begin;
          joined.size = 0;
        }
        ++joined.count;
        joined.size = std::max(joined.size, end - joined.begin);
        continue;
      }
      flush();
      if (choice.kind == PieceKind::kWhole) {
        Piece piece;
        piece.kind = PieceKind::kWhole;
        piece.file = index;
        piece.index = i;
        plan_.pieces.push_back(piece);
      } else {
        for (uint32_t n = 0; n < item.end - item.begin; ++n) CutLarge(index, choice.large + n);
      }
    }
    flush();
  }

  Status AddLarge(const ItemReads& item, const TensorRead& read, const StoredTensor& stored) {
    auto large = std::make_unique<LargeRead>();
    large->item = &item;
    large->read = &read;
    large->stored = stored;
    large->runs = *BoxRuns::Create(stored, read.storage_offsets, read.lengths);
    DCP_ASSIGN_OR_RETURN(large->dest, Destination::Create(large->runs.Reorder(read.dest),
                                                          stored.dtype, options_.copier));
    const uint64_t whole = stored.data_size;
    const bool all = large->runs.bytes() == TensorBytes(stored);
    const bool most = 2 * large->runs.bytes() >= whole;
    if (options_.verify && stored.crc32 && (all || (most && !stored.block_table_offset))) {
      large->check = CheckMode::kRecord;
    } else if (options_.verify && stored.block_table_offset) {
      large->check = CheckMode::kBlocks;
    }
    switch (large->check) {
      case CheckMode::kRecord:
        large->ranges = {{0, whole}};
        break;
      case CheckMode::kBlocks:
        large->ranges = large->runs.Ranges(kJoinGap, kChecksumBlock, whole);
        break;
      case CheckMode::kNone:
        large->ranges = large->runs.Ranges(kJoinGap, 1, whole);
        break;
    }
    plan_.large.push_back(std::move(large));
    return Status::Ok();
  }

  void CutLarge(uint32_t file, uint32_t index) {
    LargeRead& large = *plan_.large[index];
    const uint64_t begin = large.item->place.offset() + large.stored.data_offset;
    const bool shared = plan_.files[file].shared;
    if (shared) WidenToBlocks(large);
    for (const ByteRange& range : large.ranges) {
      const bool aligned = (begin + range.begin) % BufferPool::kAlignment == 0;
      const uint64_t most_bytes = aligned ? aligned_piece_ : any_piece_;
      for (uint64_t at = range.begin; at < range.end; at = large.pieces.back().end) {
        Piece piece;
        piece.kind = PieceKind::kLarge;
        piece.file = file;
        piece.index = index;
        piece.count = static_cast<uint32_t>(large.pieces.size());
        piece.begin = at;
        piece.size = std::min(range.end - at, most_bytes);
        // Ranks whose boxes begin elsewhere cut at the same places.
        if (shared) piece.size = std::min(piece.size, kSharedPiece - at % kSharedPiece);
        large.pieces.push_back({at, at + piece.size});
        plan_.pieces.push_back(piece);
      }
    }
    if (large.check == CheckMode::kRecord) large.piece_crcs.resize(large.pieces.size());
    large.pieces_left = large.pieces.size();
  }

  // Where a box begins and ends, another rank's may not.
  static void WidenToBlocks(LargeRead& large) {
    uint64_t before = 0;
    for (size_t i = 0; i < large.ranges.size(); ++i) {
      ByteRange& range = large.ranges[i];
      const uint64_t after =
          i + 1 < large.ranges.size() ? large.ranges[i + 1].begin : large.stored.data_size;
      range.begin = std::max(range.begin / kChecksumBlock * kChecksumBlock, before);
      range.end =
          std::min((range.end + kChecksumBlock - 1) / kChecksumBlock * kChecksumBlock, after);
      before = range.end;
    }
  }

  static uint64_t TensorBytes(const StoredTensor& stored) {
    uint64_t bytes = static_cast<uint64_t>(DTypeSize(stored.dtype));
    for (int64_t size : stored.shape) bytes *= static_cast<uint64_t>(size);
    return bytes;
  }

  ItemReader& reader_;
  const Metadata& metadata_;
  const ReaderOptions& options_;
  std::atomic<uint64_t>* bytes_read_;
  uint64_t aligned_piece_ = 0;  // most bytes of a piece that begins on a page of the file
  uint64_t any_piece_ = 0;      // and of one that begins anywhere
  ReadPlan plan_;
  std::vector<Choice> choices_;  // one an item
};

}  // namespace

Result<ReadPlan> MakeReadPlan(ItemReader& reader, const Metadata& metadata,
                              std::span<const TensorRead> reads, const ReaderOptions& options,
                              std::atomic<uint64_t>* bytes_read) {
  return Planner(reader, metadata, options, bytes_read).Make(reads);
}

}  // namespace dcp
