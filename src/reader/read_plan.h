// What ReadTensors will do, worked out before any tensor byte is read: reads in file order, small
// items joined into spans, large ones cut into pieces that any worker can take.
#ifndef DCP_READER_READ_PLAN_H_
#define DCP_READER_READ_PLAN_H_

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "reader/box_runs.h"
#include "reader/item_place.h"
#include "reader/reader.h"

namespace dcp {

inline constexpr uint64_t kSmallItem = 1 << 20;  // bytes: smaller ones are read whole
inline constexpr uint64_t kTinyItem = 64 << 10;  // bytes: read whole even for a small part of it
inline constexpr uint64_t kJoinGap = 32 << 10;   // bytes read in vain rather than read apart
inline constexpr uint64_t kColdBytes = 8 << 20;  // of one file: less is not worth a queue
inline constexpr size_t kReadStep = 256 << 10;   // bytes worked on at a time while in cache
inline constexpr size_t kHeaderWorkers = 8;      // for small reads here and there in a file

// All reads of one item.
struct ItemReads {
  ItemPlace place;
  uint32_t begin = 0;  // ReadPlan::order[begin .. end)
  uint32_t end = 0;
};

enum class CheckMode : uint8_t { kNone, kRecord, kBlocks };

// One read of a large, stored, dense item.
struct LargeRead {
  const ItemReads* item = nullptr;
  const TensorRead* read = nullptr;
  StoredTensor stored;
  BoxRuns runs;
  Destination dest;
  CheckMode check = CheckMode::kNone;
  std::vector<ByteRange> ranges;     // of the record: what is read
  std::vector<ByteRange> pieces;     // the same, each at most a buffer
  std::vector<uint32_t> piece_crcs;  // kRecord: one a piece
  std::atomic<size_t> pieces_left{0};
};

// All reads from one file.
struct FileReads {
  uint32_t file = 0;
  uint32_t begin = 0;  // ReadPlan::items[begin .. end)
  uint32_t end = 0;
  uint64_t bytes = 0;     // of the items
  bool queued = false;    // through a ReadQueue that is better than ReadAt
  bool cold = false;      // past the page cache
  bool shared = false;    // with other ranks, through ReaderOptions::shared
  FileIdentity identity;  // when shared
};

enum class PieceKind : uint8_t {
  kSpan,   // items[index .. index + count): read at once, file bytes [begin, begin + size)
  kLarge,  // piece `count` of large[index]: record bytes [begin, begin + size)
  kWhole,  // items[index]: decoded in memory as a whole (transformed, deflated, odd strides)
};

struct Piece {
  PieceKind kind = PieceKind::kSpan;
  uint32_t file = 0;  // ReadPlan::files
  uint32_t index = 0;
  uint32_t count = 0;
  uint64_t begin = 0;
  uint64_t size = 0;
};

struct ReadPlan {
  std::vector<const TensorRead*> order;  // by file and offset; empty boxes left out
  std::vector<ItemReads> items;
  std::vector<FileReads> files;
  std::vector<std::unique_ptr<LargeRead>> large;
  std::vector<Piece> pieces;
};

// kInvalidArgument when what every read needs is not there.
Status CheckReaderOptions(const ReaderOptions& options);

// Checks every argument and location, opens the files and reads the headers of large items.
// `bytes_read` counts what was read for that.
Result<ReadPlan> MakeReadPlan(ItemReader& reader, const Metadata& metadata,
                              std::span<const TensorRead> reads, const ReaderOptions& options,
                              std::atomic<uint64_t>* bytes_read);

}  // namespace dcp

#endif  // DCP_READER_READ_PLAN_H_
