#include "reader/read_worker.h"

#include <algorithm>
#include <new>

#include "base/checksum.h"
#include "reader/counting_source.h"
#include "reader/extract.h"
#include "reader/stored_check.h"
#include "reader/whole_item.h"

namespace dcp {
namespace {

constexpr size_t kMostPutOff = 4;  // pieces another rank is reading, one worker goes on beside
constexpr int kFewWaits = 5;       // for room, then others go without
constexpr int kMostWaits = 25;     // then it is read here

Status WrongCrc(uint32_t found, uint32_t expected) {
  return Error(Code::kCorrupt,
               "the data is damaged: its CRC32 is {:08x}, the file says {:08x}; load another copy "
               "of the checkpoint",
               found, expected);
}

Result<uint32_t> CrcOfRange(const ReadableFile& file, uint64_t begin, uint64_t size,
                            std::atomic<uint64_t>* bytes_read) {
  constexpr uint64_t kStep = 64 << 10;
  DCP_ASSIGN_OR_RETURN(const std::unique_ptr<std::byte[]> memory,
                       AllocateBytes(std::min(kStep, size)));
  uint32_t crc = 0;
  for (uint64_t at = 0; at < size; at += kStep) {
    const MutableBytes out(memory.get(), std::min(kStep, size - at));
    DCP_RETURN_IF_ERROR(file.ReadAt(begin + at, out));
    bytes_read->fetch_add(out.size(), std::memory_order_relaxed);
    crc = Crc32(crc, out);
  }
  return crc;
}

// Items of one dtype and shape are likely to be alike.
uint64_t KindOf(const ItemPlace& place) {
  uint64_t kind = static_cast<uint64_t>(place.entry->properties.dtype);
  for (const int64_t size : place.entry->chunk(place.chunk).sizes) {
    kind = kind * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(size);
  }
  return kind;
}

// Bytes of a buffer that a read of `piece` which blocks needs.
uint64_t BlockingUse(const Piece& piece) {
  return piece.kind == PieceKind::kSpan ? piece.size : std::min<uint64_t>(piece.size, kReadStep);
}

uint64_t BoxBytes(const TensorRead& read) {
  return static_cast<uint64_t>(read.dest.num_elements() * DTypeSize(read.entry->properties.dtype));
}

}  // namespace

Status ReadWorker::Run() {
  Piece piece;
  bool have = false;
  for (;;) {
    if (work_.stop.load(std::memory_order_relaxed)) return Status::Ok();
    DCP_RETURN_IF_ERROR(options_.cancel.Check());
    if (!have) {
      const size_t next = work_.next.fetch_add(1, std::memory_order_relaxed);
      if (next >= work_.plan->pieces.size()) break;
      piece = work_.plan->pieces[next];
      have = true;
    }
    if (piece.file != file_index_) {
      if (in_flight_ > 0) {
        DCP_RETURN_IF_ERROR(FinishOne());
        continue;
      }
      if (!put_off_.empty()) DCP_RETURN_IF_ERROR(ReadPutOff(0));
      DCP_RETURN_IF_ERROR(SwitchFile(piece.file));
    }
    if (IsShared(piece)) {
      put_off_.push_back(piece);
      DCP_RETURN_IF_ERROR(ReadPutOff(kMostPutOff));
      have = false;
      continue;
    }
    if (queue_ == nullptr || piece.kind == PieceKind::kWhole) {
      DCP_RETURN_IF_ERROR(ReadNow(piece));
      have = false;
      continue;
    }
    bool started = false;
    if (in_flight_ < slots_.size()) DCP_RETURN_IF_ERROR(StartQueued(piece, &started));
    if (started) {
      have = false;
    } else {
      DCP_RETURN_IF_ERROR(FinishOne());
    }
  }
  while (in_flight_ > 0) DCP_RETURN_IF_ERROR(FinishOne());
  return put_off_.empty() ? Status::Ok() : ReadPutOff(0);
}

bool ReadWorker::IsShared(const Piece& piece) const {
  return piece.kind == PieceKind::kLarge && work_.plan->files[piece.file].shared &&
         work_.plan->large[piece.index]->check != CheckMode::kRecord;
}

Status ReadWorker::ReadShared(const Piece& piece, bool hurry,
                              std::optional<SharedPieces::Taken>* later) {
  LargeRead& large = *work_.plan->large[piece.index];
  SharedPieces& shared = *options_.shared;
  SharedPieceKey key;
  key.file = work_.plan->files[piece.file].identity;
  key.begin = large.item->place.offset() + large.stored.data_offset + piece.begin;
  key.size = piece.size;
  key.checked = large.check == CheckMode::kBlocks;
  later->reset();
  const SharedPieces::Taken taken = shared.Take(key, hurry);
  switch (taken.state) {
    case SharedPieces::State::kNone:
      return ReadNow(piece);
    case SharedPieces::State::kBusy:
    case SharedPieces::State::kFull:
      *later = taken;
      return Status::Ok();
    case SharedPieces::State::kMine: {
      const Status filled = FillShared(piece, taken.slot);
      filled.ok() ? shared.Publish(taken.slot) : shared.Abandon(taken.slot);
      DCP_RETURN_IF_ERROR(filled);
      break;
    }
    case SharedPieces::State::kReady: {
      const Bytes bytes = shared.bytes(taken.slot).first(piece.size);
      const Status used = large.runs.Extract(piece.begin, bytes, large.dest);
      shared.Release(taken.slot);
      DCP_RETURN_IF_ERROR(AboutItem(used, large.item->place));
      break;
    }
  }
  return EndLarge(piece);
}

Status ReadWorker::FillShared(const Piece& piece, uint32_t slot) {
  const LargeRead& large = *work_.plan->large[piece.index];
  const ItemPlace& place = large.item->place;
  const uint64_t record = place.offset() + large.stored.data_offset;
  const MutableBytes memory = options_.shared->bytes(slot);
  DCP_RETURN_IF_ERROR(BeginLarge(piece));
  for (uint64_t at = 0; at < piece.size; at += kReadStep) {
    const MutableBytes out = memory.subspan(at, std::min<uint64_t>(kReadStep, piece.size - at));
    DCP_RETURN_IF_ERROR(AboutItem(file_->ReadAt(record + piece.begin + at, out), place));
    work_.bytes_read.fetch_add(out.size(), std::memory_order_relaxed);
    DCP_RETURN_IF_ERROR(UseLarge(piece, piece.begin + at, out, false));
  }
  return Status::Ok();
}

Status ReadWorker::ReadPutOff(size_t left) {
  SharedPieces& shared = *options_.shared;
  for (auto at = put_off_.begin(); at != put_off_.end();) {
    std::optional<SharedPieces::Taken> later;
    DCP_RETURN_IF_ERROR(ReadShared(*at, false, &later));
    at = later ? at + 1 : put_off_.erase(at);
  }
  for (int waits = 0; put_off_.size() > left;) {
    if (work_.stop.load(std::memory_order_relaxed)) return Status::Ok();
    DCP_RETURN_IF_ERROR(options_.cancel.Check());
    const Piece piece = put_off_.front();
    std::optional<SharedPieces::Taken> later;
    DCP_RETURN_IF_ERROR(ReadShared(piece, waits >= kFewWaits, &later));
    if (later && ++waits < kMostWaits) {
      later->state == SharedPieces::State::kBusy ? shared.Wait(later->slot) : shared.WaitForRoom();
      continue;
    }
    // Its reader is gone, stopped or slow.
    if (later) DCP_RETURN_IF_ERROR(ReadNow(piece));
    put_off_.pop_front();
    waits = 0;
  }
  return Status::Ok();
}

const ItemPlace& ReadWorker::PlaceOf(const Piece& piece) const {
  return piece.kind == PieceKind::kLarge ? work_.plan->large[piece.index]->item->place
                                         : work_.plan->items[piece.index].place;
}

Status ReadWorker::SwitchFile(uint32_t file) {
  queue_.reset();
  slots_.clear();
  file_index_ = file;
  const FileReads& reads = work_.plan->files[file];
  auto opened = work_.reader->OpenFile(reads.file);
  if (!opened.ok()) {
    return AboutItem(opened.status(), work_.plan->items[reads.begin].place);
  }
  file_ = *std::move(opened);
  if (!reads.queued) return Status::Ok();
  DCP_ASSIGN_OR_RETURN(queue_, file_->NewQueue(reads.cold));
  if (queue_->alignment() > BufferPool::kAlignment) queue_.reset();
  if (queue_ != nullptr) slots_.resize(std::max<size_t>(queue_->depth(), 1));
  return Status::Ok();
}

Result<size_t> ReadWorker::TakeBuffer(size_t use) {
  if (free_buffers_.empty() && buffers_.size() < work_.buffers_each) {
    // Only the first one is waited for: a worker that holds a buffer must get on with it.
    DCP_ASSIGN_OR_RETURN(PooledBuffer buffer, buffers_.empty()
                                                  ? options_.pool->Acquire(options_.cancel, use)
                                                  : options_.pool->TryAcquire(use));
    if (buffer) {
      free_buffers_.push_back(buffers_.size());
      buffers_.push_back(std::move(buffer));
    }
  }
  if (free_buffers_.empty()) return kNoBuffer;
  const size_t taken = free_buffers_.back();
  free_buffers_.pop_back();
  return taken;
}

Status ReadWorker::StartQueued(const Piece& piece, bool* started) {
  uint64_t begin = piece.begin;
  if (piece.kind == PieceKind::kLarge) {
    const LargeRead& large = *work_.plan->large[piece.index];
    begin += large.item->place.offset() + large.stored.data_offset;
  }
  const size_t alignment = queue_->alignment();
  Slot slot;
  slot.piece = piece;
  slot.used = true;
  std::byte* straight = alignment == 1 ? StraightTarget(piece) : nullptr;
  if (straight != nullptr) {
    slot.out = MutableBytes(straight, piece.size);
  } else {
    DCP_ASSIGN_OR_RETURN(slot.buffer, TakeBuffer(piece.size));
    if (slot.buffer == kNoBuffer) return Status::Ok();
    slot.skipped = begin % alignment;
    slot.out = buffers_[slot.buffer].bytes().first(AlignUp(slot.skipped + piece.size, alignment));
  }
  const size_t token = static_cast<size_t>(
      std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.used; }) -
      slots_.begin());
  slots_[token] = slot;
  DCP_RETURN_IF_ERROR(
      AboutItem(queue_->Start(begin - slot.skipped, slot.out, token), PlaceOf(piece)));
  ++in_flight_;
  *started = true;
  return Status::Ok();
}

Status ReadWorker::FinishOne() {
  auto waited = queue_->Wait();
  if (!waited.ok()) {
    return waited.status().WithContext(fmt::format("reading '{}'", file_->name()));
  }
  const ReadQueue::Done done = *waited;
  --in_flight_;
  const Slot slot = slots_[done.token];
  slots_[done.token].used = false;
  work_.bytes_read.fetch_add(done.size, std::memory_order_relaxed);
  if (done.size < slot.skipped + slot.piece.size) {
    return AboutItem(Status(Code::kCorrupt, "the file was cut short while it was being read"),
                     PlaceOf(slot.piece));
  }
  const Bytes bytes = Bytes(slot.out).subspan(slot.skipped, slot.piece.size);
  if (slot.piece.kind == PieceKind::kSpan) {
    DCP_RETURN_IF_ERROR(UseSpan(slot.piece, bytes));
  } else {
    DCP_RETURN_IF_ERROR(BeginLarge(slot.piece));
    for (size_t at = 0; at < bytes.size(); at += kReadStep) {
      const Bytes step = bytes.subspan(at, std::min(kReadStep, bytes.size() - at));
      DCP_RETURN_IF_ERROR(
          UseLarge(slot.piece, slot.piece.begin + at, step, slot.buffer == kNoBuffer));
    }
    DCP_RETURN_IF_ERROR(EndLarge(slot.piece));
  }
  if (slot.buffer != kNoBuffer) free_buffers_.push_back(slot.buffer);
  return Status::Ok();
}

Status ReadWorker::ReadNow(const Piece& piece) {
  if (piece.kind == PieceKind::kWhole) return UseWhole(work_.plan->items[piece.index]);
  std::byte* straight = StraightTarget(piece);
  size_t index = kNoBuffer;
  if (straight == nullptr) {
    DCP_ASSIGN_OR_RETURN(index, TakeBuffer(BlockingUse(piece)));
    if (index == kNoBuffer) return Status(Code::kInternal, "a read buffer was not given back");
  }
  if (piece.kind == PieceKind::kSpan) {
    const MutableBytes out = buffers_[index].bytes().first(piece.size);
    const ItemPlace& first = work_.plan->items[piece.index].place;
    DCP_RETURN_IF_ERROR(AboutItem(file_->ReadAt(piece.begin, out), first));
    work_.bytes_read.fetch_add(out.size(), std::memory_order_relaxed);
    DCP_RETURN_IF_ERROR(UseSpan(piece, out));
  } else {
    const LargeRead& large = *work_.plan->large[piece.index];
    const ItemPlace& place = large.item->place;
    const uint64_t record = place.offset() + large.stored.data_offset;
    DCP_RETURN_IF_ERROR(BeginLarge(piece));
    for (uint64_t at = 0; at < piece.size; at += kReadStep) {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(kReadStep, piece.size - at));
      const MutableBytes out = straight != nullptr ? MutableBytes(straight + at, size)
                                                   : buffers_[index].bytes().first(size);
      DCP_RETURN_IF_ERROR(AboutItem(file_->ReadAt(record + piece.begin + at, out), place));
      work_.bytes_read.fetch_add(size, std::memory_order_relaxed);
      DCP_RETURN_IF_ERROR(UseLarge(piece, piece.begin + at, out, straight != nullptr));
    }
    DCP_RETURN_IF_ERROR(EndLarge(piece));
  }
  if (index != kNoBuffer) free_buffers_.push_back(index);
  return Status::Ok();
}

Status ReadWorker::UseSpan(const Piece& piece, Bytes bytes) {
  for (uint32_t i = piece.index; i < piece.index + piece.count; ++i) {
    const ItemReads& item = work_.plan->items[i];
    if (work_.stop.load(std::memory_order_relaxed)) return Status::Ok();
    const Bytes own = bytes.subspan(item.place.offset() - piece.begin, item.place.length());
    DCP_RETURN_IF_ERROR(AboutItem(UseItem(item, own, true), item.place));
  }
  return Status::Ok();
}

bool ReadWorker::CopyWhole(const ItemReads& item, const StoredTensor& stored, Bytes payload,
                           uint32_t* crc) {
  const Tensor& dest = work_.plan->order[item.begin]->dest;
  if (item.end - item.begin != 1 || stored.conj || stored.neg || dest.dtype != stored.dtype ||
      !dest.device.is_cpu() || dest.shape != stored.shape ||
      static_cast<uint64_t>(dest.num_bytes()) != payload.size() || !dest.contiguous() ||
      !IsContiguous(stored.shape, stored.strides)) {
    return false;
  }
  *crc = Crc32Copy(*crc, dest.data, payload);
  return true;
}

Status ReadWorker::UseItem(const ItemReads& item, Bytes bytes, bool in_file) {
  DCP_ASSIGN_OR_RETURN(const StoredTensor* parsed, twins_.Parse(bytes, KindOf(item.place)));
  const StoredTensor& stored = *parsed;
  DCP_RETURN_IF_ERROR(CheckLoadable(stored, item.place));
  DCP_RETURN_IF_ERROR(CheckRecords(stored, bytes.size()));
  // The metadata's CRC covers the whole item, else the payload has one of its own.
  const bool whole = options_.verify && in_file && item.place.location().has_crc32;
  bool verified = whole;
  bool copied = false;
  std::unique_ptr<std::byte[]> inflated;
  Bytes payload;
  if (stored.deflated) {
    if (whole) DCP_RETURN_IF_ERROR(CheckItemCrc(item.place, Crc32(0, bytes)));
    DCP_ASSIGN_OR_RETURN(inflated, AllocateBytes(stored.data_size));
    const MutableBytes out(inflated.get(), stored.data_size);
    DCP_RETURN_IF_ERROR(ReadPayload(MemorySource(bytes), stored, out, &verified));
    payload = out;
  } else {
    payload = bytes.subspan(stored.data_offset, stored.data_size);
    if (whole) {
      uint32_t crc = Crc32(0, bytes.first(stored.data_offset));
      copied = CopyWhole(item, stored, payload, &crc);
      if (!copied) crc = Crc32(crc, payload);
      crc = Crc32(crc, bytes.subspan(stored.data_offset + stored.data_size));
      DCP_RETURN_IF_ERROR(CheckItemCrc(item.place, crc));
    } else if (options_.verify && stored.crc32) {
      uint32_t crc = 0;
      copied = CopyWhole(item, stored, payload, &crc);
      if (!copied) crc = Crc32(crc, payload);
      if (crc != *stored.crc32) return WrongCrc(crc, *stored.crc32);
      verified = true;
    }
  }
  for (uint32_t i = item.begin; !copied && i < item.end; ++i) {
    DCP_RETURN_IF_ERROR(ExtractRead(stored, payload, *work_.plan->order[i], options_.copier));
  }
  return Delivered(item, verified);
}

Status ReadWorker::UseDecoded(const ItemReads& item) {
  const ItemPlace& place = item.place;
  DCP_ASSIGN_OR_RETURN(std::string raw, ReadRawItem(*file_, place, options_.verify));
  work_.bytes_read.fetch_add(raw.size(), std::memory_order_relaxed);
  DCP_ASSIGN_OR_RETURN(const uint64_t limit, DecodedTensorLimit(place));
  DCP_ASSIGN_OR_RETURN(std::string decoded, DecodeItem(std::move(raw), place, limit, options_));
  return UseItem(item, AsBytes(decoded), false);
}

Status ReadWorker::UseWhole(const ItemReads& item) {
  const ItemPlace& place = item.place;
  if (!place.transforms().empty()) return AboutItem(UseDecoded(item), place);
  const CountingSource source(file_.get(), place.offset(), place.length(), &work_.bytes_read);
  const auto use = [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(StoredTensor stored, ParseTensorItem(source));
    DCP_RETURN_IF_ERROR(CheckLoadable(stored, place));
    DCP_RETURN_IF_ERROR(CheckRecords(stored, place.length()));
    DCP_ASSIGN_OR_RETURN(std::unique_ptr<std::byte[]> memory, AllocateBytes(stored.data_size));
    const MutableBytes payload(memory.get(), stored.data_size);
    bool verified = false;
    DCP_RETURN_IF_ERROR(ReadPayload(source, stored, payload, &verified));
    for (uint32_t i = item.begin; i < item.end; ++i) {
      DCP_RETURN_IF_ERROR(ExtractRead(stored, payload, *work_.plan->order[i], options_.copier));
    }
    return Delivered(item, verified);
  };
  return AboutItem(use(), place);
}

std::byte* ReadWorker::StraightTarget(const Piece& piece) const {
  if (piece.kind != PieceKind::kLarge) return nullptr;
  const LargeRead& large = *work_.plan->large[piece.index];
  if (large.dest.straight() == nullptr || large.runs.count() != 1) return nullptr;
  const ByteRange run = large.runs.span();
  if (piece.begin < run.begin || piece.begin + piece.size > run.end) return nullptr;
  return large.dest.straight() + (piece.begin - run.begin);
}

Status ReadWorker::BeginLarge(const Piece& piece) {
  const LargeRead& large = *work_.plan->large[piece.index];
  crc_ = 0;
  if (large.check != CheckMode::kBlocks) return Status::Ok();
  const uint64_t first = piece.begin / kChecksumBlock;
  const uint64_t blocks = (piece.size + kChecksumBlock - 1) / kChecksumBlock;
  block_crcs_.resize(blocks);
  const ItemPlace& place = large.item->place;
  const MutableBytes table = std::as_writable_bytes(std::span(block_crcs_));
  work_.bytes_read.fetch_add(table.size(), std::memory_order_relaxed);
  return AboutItem(
      file_->ReadAt(place.offset() + *large.stored.block_table_offset + first * sizeof(uint32_t),
                    table),
      place);
}

Status ReadWorker::UseLarge(const Piece& piece, uint64_t begin, Bytes bytes, bool in_place) {
  LargeRead& large = *work_.plan->large[piece.index];
  const ItemPlace& place = large.item->place;
  if (large.check == CheckMode::kRecord) {
    std::byte* straight = in_place ? nullptr : StraightTarget(piece);
    if (straight != nullptr) {
      crc_ = Crc32Copy(crc_, straight + (begin - piece.begin), bytes);
      return Status::Ok();
    }
    crc_ = Crc32(crc_, bytes);
  } else if (large.check == CheckMode::kBlocks) {
    for (size_t at = 0; at < bytes.size(); at += kChecksumBlock) {
      const Bytes block = bytes.subspan(at, std::min<size_t>(kChecksumBlock, bytes.size() - at));
      const uint32_t crc = Crc32(0, block);
      const uint32_t expected = block_crcs_[(begin + at - piece.begin) / kChecksumBlock];
      if (crc == expected) continue;
      const uint64_t where = place.offset() + large.stored.data_offset + begin + at;
      return AboutItem(
          Error(Code::kCorrupt,
                "the block of {} bytes at offset {} of the file is damaged: its CRC32 is {:08x}, "
                "the file says {:08x}; load another copy of the checkpoint",
                block.size(), where, crc, expected)
              .WithDetail("block_offset", fmt::format("{}", where)),
          place);
    }
  }
  if (in_place) return Status::Ok();
  return AboutItem(large.runs.Extract(begin, bytes, large.dest), place);
}

Status ReadWorker::EndLarge(const Piece& piece) {
  LargeRead& large = *work_.plan->large[piece.index];
  const ItemPlace& place = large.item->place;
  if (large.check == CheckMode::kRecord) large.piece_crcs[piece.count] = crc_;
  const uint64_t total = BoxBytes(*large.read);
  const size_t pieces = large.pieces.size();
  // The box's bytes, spread evenly over its pieces.
  const uint64_t share = total / pieces + (piece.count == 0 ? total % pieces : 0);
  if (large.pieces_left.fetch_sub(1) > 1) return Advance(share, 0);
  if (large.check == CheckMode::kRecord) {
    DCP_RETURN_IF_ERROR(AboutItem(CheckLarge(large), place));
  } else if (large.check == CheckMode::kNone) {
    work_.bytes_unverified.fetch_add(total, std::memory_order_relaxed);
  }
  return Advance(share, 1);
}

// All pieces of the record were read.
Status ReadWorker::CheckLarge(const LargeRead& large) {
  uint32_t crc = large.piece_crcs[0];
  for (size_t i = 1; i < large.pieces.size(); ++i) {
    crc = Crc32Combine(crc, large.piece_crcs[i], large.pieces[i].size());
  }
  if (crc != *large.stored.crc32) return WrongCrc(crc, *large.stored.crc32);
  const ItemPlace& place = large.item->place;
  if (!place.location().has_crc32) return Status::Ok();
  // What lies around the record, so that it is known to be the right item's.
  const uint64_t after = large.stored.data_offset + large.stored.data_size;
  DCP_ASSIGN_OR_RETURN(
      const uint32_t head,
      CrcOfRange(*file_, place.offset(), large.stored.data_offset, &work_.bytes_read));
  DCP_ASSIGN_OR_RETURN(const uint32_t tail, CrcOfRange(*file_, place.offset() + after,
                                                       place.length() - after, &work_.bytes_read));
  crc = Crc32Combine(head, crc, large.stored.data_size);
  return CheckItemCrc(place, Crc32Combine(crc, tail, place.length() - after));
}

Status ReadWorker::Delivered(const ItemReads& item, bool verified) {
  uint64_t bytes = 0;
  for (uint32_t i = item.begin; i < item.end; ++i) bytes += BoxBytes(*work_.plan->order[i]);
  if (!verified) work_.bytes_unverified.fetch_add(bytes, std::memory_order_relaxed);
  return Advance(bytes, item.end - item.begin);
}

Status ReadWorker::Advance(uint64_t bytes, uint64_t items) {
  return options_.progress == nullptr ? Status::Ok() : options_.progress->Advance(bytes, items);
}

}  // namespace dcp
