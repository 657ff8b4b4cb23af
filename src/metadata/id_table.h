// Hash table from content to dense ids; the content stays with its owner. Hashes are seeded once a
// process, so that no input file can be made to collide.
#ifndef DCP_METADATA_ID_TABLE_H_
#define DCP_METADATA_ID_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace dcp {

uint64_t SeededHash(std::string_view bytes, uint64_t extra = 0);

// Holds (hash, id) pairs only: `equal(id)` tells whether the id's content is the one looked for.
// Copying is safe, since nothing is borrowed.
class IdTable {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  void Reserve(size_t count) {
    while (slots_.size() < 2 * count) Grow();
  }
  size_t size() const { return used_; }

  template <typename Equal>
  uint32_t Find(uint64_t hash, Equal&& equal) const {
    if (slots_.empty()) return kNone;
    uint32_t tag = TagOf(hash);
    for (size_t at = tag & mask();; at = (at + 1) & mask()) {
      const Slot& slot = slots_[at];
      if (slot.id == kNone) return kNone;
      if (slot.tag == tag && equal(slot.id)) return slot.id;
    }
  }

  // The id that is already there, else `id`, which is added. `id` must not be kNone.
  template <typename Equal>
  uint32_t FindOrAdd(uint64_t hash, uint32_t id, Equal&& equal) {
    if (2 * (used_ + 1) > slots_.size()) Grow();
    uint32_t tag = TagOf(hash);
    for (size_t at = tag & mask();; at = (at + 1) & mask()) {
      Slot& slot = slots_[at];
      if (slot.id == kNone) {
        slot = {tag, id};
        ++used_;
        return id;
      }
      if (slot.tag == tag && equal(slot.id)) return slot.id;
    }
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t id = kNone;
  };
  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash ^ (hash >> 32)); }
  size_t mask() const { return slots_.size() - 1; }
  void Grow();

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t used_ = 0;
};

}  // namespace dcp

#endif  // DCP_METADATA_ID_TABLE_H_
