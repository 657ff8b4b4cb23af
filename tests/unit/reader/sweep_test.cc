// Ranges of a file, read in whatever pieces and order.
#include "reader/sweep.h"

#include <atomic>
#include <mutex>
#include <random>
#include <set>

#include "base/checksum.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/shuffled_store.h"
#include "transform/transform.h"

namespace dcp {
namespace {

constexpr size_t kBuffer = 128 << 10;

std::string RandomBytes(size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Of all sizes, next to each other, a little apart and far apart.
std::vector<SweptRange> RandomRanges(std::mt19937_64& random, uint64_t size) {
  std::vector<SweptRange> ranges;
  const uint64_t most[] = {1, 100, 5000, 40000, 3 * kBuffer, 2 << 20};
  const uint64_t gaps[] = {1, 1, 90, 5000, 200 << 10};
  for (uint64_t at = random() % 10000; at < size;) {
    const uint64_t length = std::min(1 + random() % most[random() % std::size(most)], size - at);
    ranges.push_back({at, length});
    at += length + random() % gaps[random() % std::size(gaps)];
  }
  return ranges;
}

ReaderOptions Options(std::shared_ptr<BufferPool> pool, int32_t threads = 0) {
  static const std::unique_ptr<TransformRegistry> registry = std::make_unique<TransformRegistry>();
  ReaderOptions options;
  options.pool = std::move(pool);
  options.transforms = registry.get();
  options.threads = threads;
  return options;
}

// What a sweep told, by range.
struct Told {
  std::mutex mutex;
  std::vector<int> times;
  std::vector<uint32_t> crcs;
  std::string wrong;

  explicit Told(size_t ranges) : times(ranges), crcs(ranges) {}
};

// The ends must be the bytes themselves, without a look into the file.
std::string CheckEnds(std::string_view bytes, const ItemEdges& ends) {
  const size_t size = bytes.size();
  for (const size_t at : {size_t{0}, size - std::min<size_t>(size, ItemEdges::kSpan)}) {
    std::string found(std::min<size_t>(size, ItemEdges::kSpan), '\0');
    CHECK_OK(ends.ReadAt(at, {reinterpret_cast<std::byte*>(found.data()), found.size()}));
    CHECK_THAT(found == bytes.substr(at, found.size()));
  }
  return {};
}

std::string EveryRangeIsToldOnce() {
  std::mt19937_64 random(11);
  const std::string bytes = RandomBytes(9 << 20);
  auto memory = std::shared_ptr<Store>(NewMemoryStore());
  CHECK_OK(WriteWholeFile(*memory, "f", AsBytes(bytes), false));
  for (int round = 0; round < 24; ++round) {
    const size_t alignments[] = {1, 512, 4096};
    const ShuffledStore store(memory, alignments[round % 3]);
    auto file = store.Open("f");
    CHECK_OK(file);
    const std::vector<SweptRange> ranges = RandomRanges(random, bytes.size());
    Told told(ranges.size());
    const auto pool = BufferPool::Create((1 + random() % 8) * kBuffer, kBuffer);
    CHECK_OK(Sweep(**file, ranges, Options(pool, static_cast<int32_t>(random() % 4)),
                   [&](size_t i, uint32_t crc, const ItemEdges& ends) {
                     std::string wrong = CheckEnds(
                         std::string_view(bytes).substr(ranges[i].begin, ranges[i].size), ends);
                     std::lock_guard lock(told.mutex);
                     ++told.times[i];
                     told.crcs[i] = crc;
                     if (!wrong.empty()) told.wrong = std::move(wrong);
                     return Status::Ok();
                   }));
    CHECK_THAT(told.wrong.empty());
    for (size_t i = 0; i < ranges.size(); ++i) {
      CHECK_THAT(told.times[i] == 1);
      const auto own = AsBytes(bytes).subspan(ranges[i].begin, ranges[i].size);
      CHECK_THAT(told.crcs[i] == Crc32(0, own));
    }
  }
  return {};
}

// A read that fails takes the ranges that it would have finished with it, and nothing else; when
// every worker has met one, the rest is not told of either.
std::string UnreadableRangesAreNotTold() {
  const std::string bytes = RandomBytes(4 << 20);
  auto memory = std::shared_ptr<Store>(NewMemoryStore());
  CHECK_OK(WriteWholeFile(*memory, "f", AsBytes(bytes), false));
  const auto faults = std::make_shared<FaultStore>(memory);
  const ShuffledStore store(faults, 4096);
  auto file = store.Open("f");
  CHECK_OK(file);
  std::vector<SweptRange> ranges;
  for (uint64_t at = 0; at < bytes.size(); at += 64 << 10) ranges.push_back({at, 64 << 10});
  faults->FailLine(fmt::format("read f {}+", 8 * kBuffer), Status(Code::kIo, "the disk says no"));
  Told told(ranges.size());
  const auto pool = BufferPool::Create(8 * kBuffer, kBuffer);
  CHECK_OK(Sweep(**file, ranges, Options(pool, 2), [&](size_t i, uint32_t crc, const ItemEdges&) {
    std::lock_guard lock(told.mutex);
    ++told.times[i];
    told.crcs[i] = crc;
    return Status::Ok();
  }));
  size_t finished = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    CHECK_THAT(told.times[i] <= 1);
    if (told.times[i] == 0) continue;
    ++finished;
    CHECK_THAT(told.crcs[i] == Crc32(0, AsBytes(bytes).subspan(ranges[i].begin, ranges[i].size)));
  }
  CHECK_THAT(told.times[16] == 0 && told.times[17] == 0);  // the piece that failed
  CHECK_THAT(finished >= 16);
  return {};
}

std::string ErrorsEndIt() {
  const std::string bytes = RandomBytes(4 << 20);
  auto memory = std::shared_ptr<Store>(NewMemoryStore());
  CHECK_OK(WriteWholeFile(*memory, "f", AsBytes(bytes), false));
  const ShuffledStore store(memory, 4096);
  auto file = store.Open("f");
  CHECK_OK(file);
  std::vector<SweptRange> ranges;
  for (uint64_t at = 0; at < bytes.size(); at += 4096) ranges.push_back({at, 4096});
  std::atomic<size_t> calls{0};
  ReaderOptions options = Options(BufferPool::Create(8 * kBuffer, kBuffer), 2);
  CHECK_CODE(Sweep(**file, ranges, options,
                   [&](size_t, uint32_t, const ItemEdges&) {
                     return ++calls == 40 ? Status(Code::kCallback, "enough") : Status::Ok();
                   }),
             Code::kCallback);
  CHECK_THAT(calls < ranges.size());
  options.cancel.Cancel();
  CHECK_CODE(Sweep(**file, ranges, options,
                   [&](size_t, uint32_t, const ItemEdges&) { return Status::Ok(); }),
             Code::kCancelled);
  return {};
}

std::string OnlyWhereItServes() {
  auto memory = std::shared_ptr<Store>(NewMemoryStore());
  CHECK_OK(WriteWholeFile(*memory, "f", AsBytes(RandomBytes(1 << 20)), false));
  const ReaderOptions options = Options(BufferPool::Create(8 * kBuffer, kBuffer));
  auto plain = memory->Open("f");
  CHECK_OK(plain);
  auto serves = CanSweep(**plain, 0, 1 << 20, options);
  CHECK_THAT(serves.ok() && !*serves);  // one read at a time
  for (const size_t alignment : {1, 4096, 8192}) {
    const ShuffledStore store(memory, alignment);
    auto file = store.Open("f");
    CHECK_OK(file);
    serves = CanSweep(**file, 0, 1 << 20, options);
    CHECK_THAT(serves.ok() && *serves == (alignment <= 4096));
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      DCP_CHECKED(EveryRangeIsToldOnce),
      DCP_CHECKED(UnreadableRangesAreNotTold),
      DCP_CHECKED(ErrorsEndIt),
      DCP_CHECKED(OnlyWhereItServes),
  };
  return cmocka_run_group_tests_name("reader/sweep", tests, nullptr, nullptr);
}
