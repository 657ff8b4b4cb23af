#include "metadata/id_table.h"

#include <unistd.h>

#include <chrono>
#include <cstring>

namespace dcp {
namespace {

struct Seeds {
  uint64_t a;
  uint64_t b;
};

Seeds MakeSeeds() {
  Seeds seeds;
  if (getentropy(&seeds, sizeof seeds) != 0) {
    auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    seeds = {static_cast<uint64_t>(now), reinterpret_cast<uintptr_t>(&seeds)};
  }
  seeds.a |= 1;
  seeds.b |= 1;
  return seeds;
}

__extension__ using Wide = unsigned __int128;

// Folds the full 128-bit product, so that high bits of the input reach low bits of the hash.
uint64_t Mix(uint64_t x, uint64_t y) {
  const Wide product = static_cast<Wide>(x) * y;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

uint64_t SeededHash(std::string_view bytes, uint64_t extra) {
  static const Seeds seeds = MakeSeeds();
  uint64_t hash = Mix(extra ^ seeds.a, bytes.size() ^ seeds.b);
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = Mix(hash ^ word ^ seeds.a, seeds.b + hash);
  }
  if (left > 0) {
    // The last eight bytes, some of them again; or all there are.
    uint64_t word = 0;
    if (bytes.size() >= 8) {
      std::memcpy(&word, at + left - 8, 8);
    } else {
      for (size_t i = 0; i < left; ++i) {
        word |= uint64_t{static_cast<unsigned char>(at[i])} << 8 * i;
      }
    }
    hash = Mix(hash ^ word ^ seeds.a, seeds.b + hash);
  }
  return Mix(hash ^ seeds.b, seeds.a);
}

void IdTable::Grow() {
  std::vector<Slot> old(slots_.empty() ? 16 : 2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id == kNone) continue;
    size_t at = slot.tag & mask();
    while (slots_[at].id != kNone) at = (at + 1) & mask();
    slots_[at] = slot;
  }
}

}  // namespace dcp
