// Pieces of data files that one rank of a host reads and checks for all of its ranks, in memory
// that they share. No rank depends on another: what is not there, or does not come in time, it
// reads itself.
#ifndef DCP_READER_SHARED_PIECES_H_
#define DCP_READER_SHARED_PIECES_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/shared_memory.h"
#include "storage/store.h"

namespace dcp {

// What a piece is: of which file, which bytes, and whether its checksums were checked.
struct SharedPieceKey {
  FileIdentity file;
  uint64_t begin = 0;  // in the file
  uint64_t size = 0;
  bool checked = false;
};

// A cache of slots, of one process's view. Any thread.
class SharedPieces {
 public:
  static constexpr size_t kSlots = 16;
  static constexpr size_t kSlotBytes = 1 << 20;
  static constexpr size_t kMemoryBytes = 4096 + kSlots * kSlotBytes;

  // `memory`: kMemoryBytes, zero when the first of its users came. `ranks`: those that use it; a
  // piece that all have used makes room first.
  SharedPieces(std::shared_ptr<SharedMemory> memory, uint32_t ranks);

  enum class State : uint8_t {
    kReady,  // its bytes are there; held until Release
    kMine,   // to be filled, then Publish or Abandon
    kBusy,   // another is filling it
    kFull,   // all slots hold what other ranks have yet to use
    kNone,   // there is no room
  };
  struct Taken {
    State state = State::kNone;
    uint32_t slot = 0;
  };

  // `hurry`: what others have yet to use makes room too. After some such times on end it always
  // does: they want other pieces, or are slow.
  Taken Take(const SharedPieceKey& key, bool hurry);
  MutableBytes bytes(uint32_t slot) const {
    return memory_->bytes().subspan(4096 + slot * kSlotBytes, kSlotBytes);
  }
  void Publish(uint32_t slot);  // its bytes are there for all, and used by this rank
  void Abandon(uint32_t slot);  // they will not come
  void Release(uint32_t slot);  // used by this rank
  // Until the slot, found busy, is no longer, or for a few milliseconds.
  void Wait(uint32_t slot) const;
  // When full: until there is room, or for a few milliseconds.
  void WaitForRoom();

 private:
  static constexpr size_t kKeyWords = 7;
  static constexpr int kPatience = 3;
  using KeyWords = std::array<uint64_t, kKeyWords>;

  struct alignas(128) Slot {
    std::atomic<uint32_t> word;    // see shared_pieces.cc
    std::atomic<uint32_t> filled;  // the count of pieces when it was
    std::atomic<uint32_t> uses;    // by ranks
    std::array<std::atomic<uint64_t>, kKeyWords> key;
  };
  struct Table {
    std::atomic<uint32_t> pieces;   // that were filled
    std::atomic<uint32_t> used_up;  // times that a slot was
    std::atomic<uint32_t> waiters;  // for room
    std::array<Slot, kSlots> slots;
  };
  static_assert(sizeof(Table) <= 4096);

  static KeyWords Words(const SharedPieceKey& key);
  static bool Has(const Slot& slot, const KeyWords& key);
  bool Hold(Slot& slot, const KeyWords& key);
  bool Touchable(uint32_t slot);
  Taken Find(const KeyWords& key, uint32_t own);
  bool IsDone(const Slot& slot) const;
  Taken Claim(const KeyWords& key, bool hurry);
  void UsedUp();

  const std::shared_ptr<SharedMemory> memory_;
  Table& table_;
  const uint32_t ranks_;
  std::atomic<int> patience_{kPatience};
  std::array<std::atomic<uint8_t>, kSlots> touchable_{};  // 1: its pages are there, 2: cannot be
};

}  // namespace dcp

#endif  // DCP_READER_SHARED_PIECES_H_
