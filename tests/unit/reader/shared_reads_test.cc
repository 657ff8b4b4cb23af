// Ranks of one host that read narrow columns of the same files.
#include <fcntl.h>
#include <unistd.h>

#include "support/checks.h"
#include "support/sample_state.h"
#include "support/temp_folder.h"
#include "unit/reader/written.h"

namespace dcp {
namespace {

constexpr int64_t kRows = 2560;
constexpr int64_t kColumns = 1000;  // pieces end within rows
constexpr int64_t kRanks = 4;

// One tensor of ten megabytes.
struct Saved {
  TempFolder folder;
  Tensor whole = PatternTensor(DType::kFloat32, {kRows, kColumns}, 5);
  Written written;

  Status Make(bool block_checksums) {
    Items items;
    items.Add("x", whole);
    WriterOptions options = SmallWriterOptions();
    options.block_checksums = block_checksums;
    DCP_ASSIGN_OR_RETURN(std::shared_ptr<Store> store, OpenStore(folder.path(), {}));
    DCP_RETURN_IF_ERROR(store->MakeRoot());
    return WriteAll(items, options, true, store, &written);
  }
};

struct Rank {
  Shape offsets;
  Tensor dest;
  Result<ReadOutcome> outcome = Status(Code::kInternal, "not read");
};

// Reads the rank's quarter of the columns.
Rank ReadQuarter(Saved& saved, int64_t rank, SharedPieces* shared) {
  Rank read;
  const int64_t columns = kColumns / kRanks;
  read.offsets = {0, rank * columns};
  read.dest = *Tensor::Allocate(DType::kFloat32, Shape{kRows, columns});
  const auto registry = Registry();
  ReaderOptions options = SmallReaderOptions(*registry);
  options.shared = shared;
  options.pool = BufferPool::Create(8 << 20, 2 << 20);  // pieces of a whole slot
  TensorRead one;
  one.entry = &saved.written.metadata.entries[0];
  one.storage_offsets = read.offsets;
  one.lengths = read.dest.shape;
  one.dest = read.dest;
  ItemReader reader(saved.written.store.get(), &saved.written.metadata);
  read.outcome = reader.ReadTensors({&one, 1}, options);
  return read;
}

bool IsRight(const Saved& saved, const Rank& rank) {
  return EqualElements(rank.dest, saved.whole.Slice(rank.offsets, rank.dest.shape));
}

std::string OneRankReadsForAll(bool block_checksums) {
  Saved saved;
  CHECK_OK(saved.Make(block_checksums));
  auto memory = *SharedMemory::Create(SharedPieces::kMemoryBytes);
  for (int64_t i = 0; i < kRanks; ++i) {
    SharedPieces shared(memory, kRanks);
    const Rank rank = ReadQuarter(saved, i, &shared);
    CHECK_OK(rank.outcome);
    CHECK_THAT(IsRight(saved, rank));
    const auto bytes = static_cast<uint64_t>(saved.whole.num_bytes());
    if (i == 0) CHECK_THAT(rank.outcome->bytes_read >= bytes);
    if (i > 0) CHECK_THAT(rank.outcome->bytes_read < bytes / 100);
    const auto unverified = static_cast<uint64_t>(rank.dest.num_bytes());
    CHECK_THAT(rank.outcome->bytes_unverified == (block_checksums ? 0 : unverified));
  }
  return {};
}

std::string CheckedPiecesAreShared() { return OneRankReadsForAll(true); }
std::string UncheckedPiecesAreShared() { return OneRankReadsForAll(false); }

// Ranks that are gone left slots that are filled by nobody, or held for ever.
std::string ThoseThatAreGoneHoldNobodyUp() {
  Saved saved;
  CHECK_OK(saved.Make(true));
  for (const bool filled : {false, true}) {
    auto memory = *SharedMemory::Create(SharedPieces::kMemoryBytes);
    SharedPieces gone(memory, kRanks);
    SharedPieceKey key;
    for (key.size = 1; key.size <= SharedPieces::kSlots; ++key.size) {
      const SharedPieces::Taken taken = gone.Take(key, false);
      CHECK_THAT(taken.state == SharedPieces::State::kMine);
      if (!filled) continue;
      gone.Publish(taken.slot);
      CHECK_THAT(gone.Take(key, false).state == SharedPieces::State::kReady);
    }
    SharedPieces shared(memory, kRanks);
    const Rank rank = ReadQuarter(saved, 2, &shared);
    CHECK_OK(rank.outcome);
    CHECK_THAT(IsRight(saved, rank));
  }
  return {};
}

// What one finds damaged the others do not take from it.
std::string DamageIsFoundByAll() {
  Saved saved;
  CHECK_OK(saved.Make(true));
  const std::string path = saved.folder / saved.written.metadata.files[0];
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  const char flipped = 0x7f;
  CHECK_THAT(file >= 0 && pwrite(file, &flipped, 1, 5 << 20) == 1);
  close(file);
  auto memory = *SharedMemory::Create(SharedPieces::kMemoryBytes);
  for (int64_t i = 0; i < kRanks; ++i) {
    SharedPieces shared(memory, kRanks);
    CHECK_CODE(ReadQuarter(saved, i, &shared).outcome, Code::kCorrupt);
  }
  return {};
}

// The file that has its name now is not taken for the one that was read.
std::string AnotherFileIsReadAnew() {
  Saved saved;
  CHECK_OK(saved.Make(true));
  auto memory = *SharedMemory::Create(SharedPieces::kMemoryBytes);
  SharedPieces shared(memory, kRanks);
  CHECK_THAT(IsRight(saved, ReadQuarter(saved, 0, &shared)));
  Saved other;
  other.whole = PatternTensor(DType::kFloat32, {kRows, kColumns}, 6);
  CHECK_OK(other.Make(true));
  const Rank rank = ReadQuarter(other, 1, &shared);
  CHECK_OK(rank.outcome);
  CHECK_THAT(IsRight(other, rank));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {DCP_CHECKED(CheckedPiecesAreShared),
                              DCP_CHECKED(UncheckedPiecesAreShared),
                              DCP_CHECKED(ThoseThatAreGoneHoldNobodyUp),
                              DCP_CHECKED(DamageIsFoundByAll), DCP_CHECKED(AnotherFileIsReadAnew)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
