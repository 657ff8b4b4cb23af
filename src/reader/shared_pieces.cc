#include "reader/shared_pieces.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <limits>
#include <optional>

namespace dcp {
namespace {

// A slot's word: how many hold it (kReady), its state, and whether somebody waits for the state.
enum : uint32_t {
  kEmpty = 0,
  kFilling = 1,
  kReadyWord = 2,
  kStateBits = 3,
  kWaiters = 4,
  kHolder = 8,
};

constexpr int kTries = 4;
constexpr uint32_t kLongAgo = 2 * SharedPieces::kSlots;  // pieces
constexpr long kWaitNanoseconds = 2'000'000;

uint32_t StateOf(uint32_t word) { return word & kStateBits; }
bool Held(uint32_t word) { return word >= kHolder; }

// Between processes.
void FutexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  timespec timeout = {0, kWaitNanoseconds};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, expected, &timeout, nullptr,
          0);
}

void FutexWakeAll(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE,
          std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

}  // namespace

static_assert(std::atomic<uint32_t>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);

// Zero bytes are a table of empty slots.
SharedPieces::SharedPieces(std::shared_ptr<SharedMemory> memory, uint32_t ranks)
    : memory_(std::move(memory)),
      table_(*reinterpret_cast<Table*>(memory_->bytes().data())),
      ranks_(ranks) {}

SharedPieces::KeyWords SharedPieces::Words(const SharedPieceKey& key) {
  return {key.file.device, key.file.inode, key.file.size, key.file.changed_ns,
          key.begin,       key.size,       key.checked};
}

bool SharedPieces::Has(const Slot& slot, const KeyWords& key) {
  for (size_t i = 0; i < kKeyWords; ++i) {
    if (slot.key[i].load(std::memory_order_seq_cst) != key[i]) return false;
  }
  return true;
}

bool SharedPieces::Touchable(uint32_t slot) {
  std::atomic<uint8_t>& known = touchable_[slot];
  uint8_t is = known.load(std::memory_order_relaxed);
  if (is == 0) {
    is = memory_->MakePages(4096 + slot * kSlotBytes, kSlotBytes) ? 1 : 2;
    known.store(is, std::memory_order_relaxed);
  }
  return is == 1;
}

// A slot that is held keeps its key.
bool SharedPieces::Hold(Slot& slot, const KeyWords& key) {
  uint32_t word = slot.word.load(std::memory_order_relaxed);
  do {
    if (StateOf(word) != kReadyWord) return false;
  } while (!slot.word.compare_exchange_weak(word, word + kHolder, std::memory_order_acquire,
                                            std::memory_order_relaxed));
  if (Has(slot, key)) return true;
  slot.word.fetch_sub(kHolder, std::memory_order_release);
  return false;
}

SharedPieces::Taken SharedPieces::Take(const SharedPieceKey& key, bool hurry) {
  const KeyWords words = Words(key);
  if (key.size > kSlotBytes) return {};
  for (int tries = 0; tries < kTries; ++tries) {
    Taken taken = Find(words, kSlots);
    if (taken.state == State::kNone) taken = Claim(words, hurry);
    if (taken.state == State::kNone) continue;
    const bool held = taken.state == State::kReady || taken.state == State::kMine;
    if (!held || Touchable(taken.slot)) return taken;
    taken.state == State::kReady ? Release(taken.slot) : Abandon(taken.slot);
    return {};
  }
  return {};
}

// kReady, kBusy, or kNone when no slot but `own` has it.
SharedPieces::Taken SharedPieces::Find(const KeyWords& key, uint32_t own) {
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (i == own) continue;
    Slot& slot = table_.slots[i];
    if (!Has(slot, key)) continue;
    if (Hold(slot, key)) return {State::kReady, i};
    if (StateOf(slot.word.load(std::memory_order_relaxed)) == kFilling) return {State::kBusy, i};
  }
  return {};
}

// Whether a piece that is ready need not stay: all have used it, or they went on long ago without.
bool SharedPieces::IsDone(const Slot& slot) const {
  const uint32_t age =
      table_.pieces.load(std::memory_order_relaxed) - slot.filled.load(std::memory_order_relaxed);
  return slot.uses.load(std::memory_order_relaxed) >= ranks_ || age > kLongAgo;
}

// kMine; kFull; kNone when another took the slot, or has begun to fill another with the same.
SharedPieces::Taken SharedPieces::Claim(const KeyWords& key, bool hurry) {
  const uint32_t now = table_.pieces.load(std::memory_order_relaxed);
  uint32_t best = kSlots;
  uint32_t best_age = 0;
  bool done = false;
  for (uint32_t i = 0; i < kSlots && !done; ++i) {
    const Slot& slot = table_.slots[i];
    const uint32_t word = slot.word.load(std::memory_order_relaxed);
    if (Held(word) || StateOf(word) == kFilling) continue;
    done = StateOf(word) == kEmpty || IsDone(slot);
    const uint32_t age = now - slot.filled.load(std::memory_order_relaxed);
    if (done || best == kSlots || age > best_age) {
      best = i;
      best_age = age;
    }
  }
  if (best == kSlots) return {State::kFull, 0};
  const int patience = patience_.load(std::memory_order_relaxed);
  if (done) {
    if (patience > 0 && patience < kPatience) patience_.store(kPatience, std::memory_order_relaxed);
  } else if (!hurry && patience > 0) {
    return {State::kFull, 0};
  } else if (patience > 0) {
    patience_.store(patience - 1, std::memory_order_relaxed);
  }
  Slot& slot = table_.slots[best];
  uint32_t word = slot.word.load(std::memory_order_relaxed);
  if (Held(word) || StateOf(word) == kFilling ||
      !slot.word.compare_exchange_strong(word, kFilling, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
    return {};
  }
  // One order of all stores and loads of keys: of two that begin to fill slots with the same at
  // once, one or both see it.
  for (size_t i = 0; i < kKeyWords; ++i) slot.key[i].store(key[i], std::memory_order_seq_cst);
  const Taken twin = Find(key, best);
  if (twin.state == State::kNone) return {State::kMine, best};
  Abandon(best);
  return twin;
}

void SharedPieces::Publish(uint32_t number) {
  Slot& slot = table_.slots[number];
  slot.uses.store(1, std::memory_order_relaxed);
  slot.filled.store(table_.pieces.fetch_add(1, std::memory_order_relaxed),
                    std::memory_order_relaxed);
  const uint32_t before = slot.word.exchange(kReadyWord, std::memory_order_release);
  if (before & kWaiters) FutexWakeAll(slot.word);
}

void SharedPieces::Abandon(uint32_t number) {
  Slot& slot = table_.slots[number];
  const uint32_t before = slot.word.exchange(kEmpty, std::memory_order_release);
  if (before & kWaiters) FutexWakeAll(slot.word);
}

void SharedPieces::Release(uint32_t number) {
  Slot& slot = table_.slots[number];
  const bool last = slot.uses.fetch_add(1, std::memory_order_relaxed) + 1 >= ranks_;
  slot.word.fetch_sub(kHolder, std::memory_order_release);
  if (last) UsedUp();
}

void SharedPieces::UsedUp() {
  table_.used_up.fetch_add(1, std::memory_order_seq_cst);
  if (table_.waiters.load(std::memory_order_seq_cst) > 0) FutexWakeAll(table_.used_up);
}

void SharedPieces::WaitForRoom() {
  table_.waiters.fetch_add(1, std::memory_order_seq_cst);
  const uint32_t seen = table_.used_up.load(std::memory_order_seq_cst);
  bool room = false;
  for (const Slot& slot : table_.slots) {
    const uint32_t word = slot.word.load(std::memory_order_relaxed);
    room = room || StateOf(word) == kEmpty || (word == kReadyWord && IsDone(slot));
  }
  if (!room) FutexWait(table_.used_up, seen);
  table_.waiters.fetch_sub(1, std::memory_order_seq_cst);
}

void SharedPieces::Wait(uint32_t number) const {
  std::atomic<uint32_t>& word = table_.slots[number].word;
  uint32_t seen = word.load(std::memory_order_relaxed);
  if (StateOf(seen) != kFilling) return;
  if (!(seen & kWaiters) &&
      !word.compare_exchange_strong(seen, seen | kWaiters, std::memory_order_relaxed)) {
    return;
  }
  FutexWait(word, kFilling | kWaiters);
}

}  // namespace dcp
