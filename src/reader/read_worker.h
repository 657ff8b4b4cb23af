// One thread of ReadTensors: takes pieces, keeps several reads in flight, checks and delivers.
#ifndef DCP_READER_READ_WORKER_H_
#define DCP_READER_READ_WORKER_H_

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "reader/read_plan.h"
#include "tensorio/item_twins.h"

namespace dcp {

// What the workers share.
struct ReadWork {
  ItemReader* reader = nullptr;
  const ReaderOptions* options = nullptr;
  ReadPlan* plan = nullptr;
  size_t buffers_each = 1;  // of the pool's, at most, for one worker
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> bytes_unverified{0};
};

class ReadWorker {
 public:
  explicit ReadWorker(ReadWork* work) : work_(*work), options_(*work->options) {}

  // Works until no piece is left, or another worker has set `stop`.
  Status Run();

 private:
  static constexpr size_t kNoBuffer = ~size_t{0};

  // A read in flight.
  struct Slot {
    Piece piece;
    size_t buffer = kNoBuffer;  // none: straight into the target
    MutableBytes out;
    uint64_t skipped = 0;  // bytes before the piece, read for alignment
    bool used = false;
  };

  const ItemPlace& PlaceOf(const Piece& piece) const;
  Status SwitchFile(uint32_t file);
  Status StartQueued(const Piece& piece, bool* started);
  Status FinishOne();
  // kNoBuffer when the pool has none left and this worker has some in flight. `use`: bytes of it.
  Result<size_t> TakeBuffer(size_t use);
  Status ReadNow(const Piece& piece);

  // Of a file whose pieces ranks share. *later: why not now (kBusy, kFull).
  bool IsShared(const Piece& piece) const;
  Status ReadShared(const Piece& piece, bool hurry, std::optional<SharedPieces::Taken>* later);
  Status FillShared(const Piece& piece, uint32_t slot);
  // Reads pieces that were put off until at most `left` of them are left.
  Status ReadPutOff(size_t left);

  Status UseSpan(const Piece& piece, Bytes bytes);
  // `in_file`: these are the item's bytes in the file, not what transforms made of them.
  Status UseItem(const ItemReads& item, Bytes bytes, bool in_file);
  // Copies the payload to the item's only target while its CRC is made; false when there is more to
  // do than one copy.
  bool CopyWhole(const ItemReads& item, const StoredTensor& stored, Bytes payload, uint32_t* crc);
  Status UseDecoded(const ItemReads& item);
  Status UseWhole(const ItemReads& item);

  Status BeginLarge(const Piece& piece);
  Status UseLarge(const Piece& piece, uint64_t begin, Bytes bytes, bool in_place);
  Status EndLarge(const Piece& piece);
  Status CheckLarge(const LargeRead& large);
  std::byte* StraightTarget(const Piece& piece) const;

  Status Delivered(const ItemReads& item, bool verified);
  Status Advance(uint64_t bytes, uint64_t items);

  ReadWork& work_;
  const ReaderOptions& options_;
  uint32_t file_index_ = ~uint32_t{0};
  std::shared_ptr<ReadableFile> file_;
  std::vector<PooledBuffer> buffers_;
  std::vector<size_t> free_buffers_;
  std::vector<Slot> slots_;
  std::deque<Piece> put_off_;  // of the current file, as other ranks were reading them
  size_t in_flight_ = 0;
  ItemTwins twins_;
  uint32_t crc_ = 0;                  // of the current large piece so far
  std::vector<uint32_t> block_crcs_;  // from the item's table, for the current large piece
  std::unique_ptr<ReadQueue> queue_;  // after what its reads fill: it must be gone before they are
};

}  // namespace dcp

#endif  // DCP_READER_READ_WORKER_H_
