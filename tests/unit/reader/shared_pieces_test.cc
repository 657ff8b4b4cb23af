#include "reader/shared_pieces.h"

#include <cstring>
#include <thread>
#include <vector>

#include "support/checks.h"

namespace dcp {
namespace {

using State = SharedPieces::State;

SharedPieceKey Key(uint64_t number) {
  SharedPieceKey key;
  key.file = {1, 2, 1 << 30, 3};
  key.begin = number * SharedPieces::kSlotBytes;
  key.size = SharedPieces::kSlotBytes;
  key.checked = true;
  return key;
}

// Two ranks' views of the same memory, as two processes have them.
struct Pair {
  std::shared_ptr<SharedMemory> memory = *SharedMemory::Create(SharedPieces::kMemoryBytes);
  SharedPieces one{memory, 2};
  SharedPieces other{*SharedMemory::Open(memory->name(), SharedPieces::kMemoryBytes), 2};
};

std::string OneFillsForBoth() {
  Pair pair;
  const SharedPieces::Taken mine = pair.one.Take(Key(0), false);
  CHECK_THAT(mine.state == State::kMine);
  CHECK_THAT(pair.other.Take(Key(0), false).state == State::kBusy);
  std::memset(pair.one.bytes(mine.slot).data(), 42, SharedPieces::kSlotBytes);
  pair.one.Publish(mine.slot);
  const SharedPieces::Taken found = pair.other.Take(Key(0), false);
  CHECK_THAT(found.state == State::kReady && found.slot == mine.slot);
  CHECK_THAT(pair.other.bytes(found.slot)[SharedPieces::kSlotBytes - 1] == std::byte{42});
  pair.other.Release(found.slot);
  return {};
}

std::string KeysAreComparedWhole() {
  Pair pair;
  const SharedPieces::Taken mine = pair.one.Take(Key(0), false);
  CHECK_THAT(mine.state == State::kMine);
  pair.one.Publish(mine.slot);
  std::vector<SharedPieceKey> others(7, Key(0));
  ++others[0].file.device;
  ++others[1].file.inode;
  ++others[2].file.size;
  ++others[3].file.changed_ns;
  ++others[4].begin;
  --others[5].size;
  others[6].checked = false;
  for (const SharedPieceKey& key : others) {
    const SharedPieces::Taken taken = pair.other.Take(key, false);
    CHECK_THAT(taken.state == State::kMine);
    pair.other.Abandon(taken.slot);
  }
  SharedPieceKey large = Key(0);
  ++large.size;
  CHECK_THAT(pair.other.Take(large, true).state == State::kNone);
  return {};
}

std::string WhatWasAbandonedIsFilledByAnother() {
  Pair pair;
  const SharedPieces::Taken mine = pair.one.Take(Key(0), false);
  CHECK_THAT(mine.state == State::kMine);
  CHECK_THAT(pair.other.Take(Key(0), false).state == State::kBusy);
  pair.one.Abandon(mine.slot);
  CHECK_THAT(pair.other.Take(Key(0), false).state == State::kMine);
  return {};
}

// Without anything that could wake it up, a wait ends.
std::string WaitsEnd() {
  Pair pair;
  const SharedPieces::Taken mine = pair.one.Take(Key(0), false);
  CHECK_THAT(mine.state == State::kMine);
  pair.other.Wait(mine.slot);
  CHECK_THAT(pair.other.Take(Key(0), true).state == State::kBusy);
  for (uint64_t i = 1; i < SharedPieces::kSlots; ++i) {
    CHECK_THAT(pair.one.Take(Key(i), false).state == State::kMine);
  }
  CHECK_THAT(pair.other.Take(Key(99), true).state == State::kFull);
  pair.other.WaitForRoom();
  CHECK_THAT(pair.other.Take(Key(99), true).state == State::kFull);
  return {};
}

std::string WhatAllHaveUsedMakesRoom() {
  Pair pair;
  for (uint64_t i = 0; i < SharedPieces::kSlots; ++i) {
    const SharedPieces::Taken mine = pair.one.Take(Key(i), false);
    CHECK_THAT(mine.state == State::kMine);
    pair.one.Publish(mine.slot);
  }
  CHECK_THAT(pair.one.Take(Key(99), false).state == State::kFull);
  const SharedPieces::Taken used = pair.other.Take(Key(5), false);
  CHECK_THAT(used.state == State::kReady);
  CHECK_THAT(pair.one.Take(Key(99), false).state == State::kFull);  // it is held
  pair.other.Release(used.slot);
  pair.one.WaitForRoom();  // which is there: no wait
  const SharedPieces::Taken next = pair.one.Take(Key(99), false);
  CHECK_THAT(next.state == State::kMine && next.slot == used.slot);
  pair.one.Publish(next.slot);
  // The oldest goes, and after some such times nobody waits for room again.
  for (uint64_t i = 0; i < 3; ++i) {
    CHECK_THAT(pair.one.Take(Key(100 + i), false).state == State::kFull);
    const SharedPieces::Taken hurried = pair.one.Take(Key(100 + i), true);
    CHECK_THAT(hurried.state == State::kMine);
    pair.one.Publish(hurried.slot);
    CHECK_THAT(pair.other.Take(Key(i), false).state == State::kFull);
  }
  CHECK_THAT(pair.one.Take(Key(200), false).state == State::kMine);
  CHECK_THAT(pair.other.Take(Key(201), false).state == State::kFull);  // it has its own patience
  return {};
}

std::byte Expected(uint64_t piece, uint64_t at) {
  return static_cast<std::byte>((piece * 131 + at / 4096) & 0xff);
}

// Four ranks of two threads each go through the same pieces; some of them fall behind.
std::string RanksSeeWhatWasFilled() {
  constexpr uint64_t kPieces = kUnderTsan ? 100 : 600;
  constexpr uint32_t kRanks = 4;
  auto memory = *SharedMemory::Create(SharedPieces::kMemoryBytes);
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> fills{0};
  std::vector<std::unique_ptr<SharedPieces>> ranks;
  std::vector<std::atomic<uint64_t>> next(kRanks);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kRanks; ++i) {
    ranks.push_back(std::make_unique<SharedPieces>(
        *SharedMemory::Open(memory->name(), SharedPieces::kMemoryBytes), kRanks));
  }
  for (uint32_t i = 0; i < 2 * kRanks; ++i) {
    threads.emplace_back([&, rank = i / 2] {
      SharedPieces& pieces = *ranks[rank];
      for (uint64_t n; (n = next[rank].fetch_add(1)) < kPieces;) {
        for (int tries = 0;; ++tries) {
          const SharedPieces::Taken taken = pieces.Take(Key(n), tries > 3);
          if (taken.state == State::kBusy) {
            pieces.Wait(taken.slot);
          } else if (taken.state == State::kFull) {
            pieces.WaitForRoom();
          } else if (taken.state == State::kReady) {
            const MutableBytes bytes = pieces.bytes(taken.slot);
            for (uint64_t at = 0; at < bytes.size(); at += 4096) {
              if (bytes[at] != Expected(n, at)) ++wrong;
            }
            pieces.Release(taken.slot);
            break;
          } else if (taken.state == State::kMine) {
            const MutableBytes bytes = pieces.bytes(taken.slot);
            for (uint64_t at = 0; at < bytes.size(); at += 4096) bytes[at] = Expected(n, at);
            ++fills;
            n % 17 == 0 ? pieces.Abandon(taken.slot) : pieces.Publish(taken.slot);
            break;
          } else {
            break;  // it reads for itself
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_THAT(wrong == 0);
  CHECK_THAT(fills >= kPieces && fills <= kPieces * kRanks);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {DCP_CHECKED(OneFillsForBoth),
                              DCP_CHECKED(KeysAreComparedWhole),
                              DCP_CHECKED(WhatWasAbandonedIsFilledByAnother),
                              DCP_CHECKED(WaitsEnd),
                              DCP_CHECKED(WhatAllHaveUsedMakesRoom),
                              DCP_CHECKED(RanksSeeWhatWasFilled)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
