// Which memo entries a pickle asks for. Picklers memoise nearly every object and recall few, so
// that knowing them beforehand lets the machine forget the others at once.
#ifndef DCP_PICKLE_RECALLED_H_
#define DCP_PICKLE_RECALLED_H_

#include <cstdint>

#include "pickle/input.h"
#include "pickle/pod_array.h"

namespace dcp::pickle {

// A set of memo indices, each with its rank among them.
class Recalled {
 public:
  // Those below `end` that a GET of the pickle at the start of `input` names. What is no pickle is
  // looked at up to where the machine stops too, what cannot be loaded up to there. `alike`:
  // whether to expect many objects whose states are alike; they are then passed more quickly. It is
  // the input's first pass. Throws std::bad_alloc.
  Recalled(Input& input, uint64_t end, bool alike);

  size_t count() const { return count_; }
  bool Has(uint64_t index) const {
    return index / 64 < bits_.size() && (bits_[index / 64] >> index % 64 & 1) != 0;
  }
  // Bit i: whether index + i is in the set.
  uint64_t WordFrom(uint64_t index) const {
    const uint64_t word = index / 64, shift = index % 64;
    uint64_t bits = word < bits_.size() ? bits_[word] >> shift : 0;
    if (shift != 0 && word + 1 < bits_.size()) bits |= bits_[word + 1] << (64 - shift);
    return bits;
  }
  // How many lower indices are in the set.
  size_t Rank(uint64_t index) const {
    const uint64_t below = bits_[index / 64] & ((uint64_t{1} << index % 64) - 1);
    return ranks_[index / 64] + CountBits(below);
  }

 private:
  // In line: without -mpopcnt the builtin is a call.
  static uint32_t CountBits(uint64_t bits) {
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<uint32_t>(bits * 0x0101010101010101 >> 56);
  }
  void Scan(Input& input, uint64_t end, bool alike);
  void Add(uint64_t index) {
    if (index / 64 >= bits_.size()) Grow(index);
    bits_[index / 64] |= uint64_t{1} << index % 64;
  }
  void Grow(uint64_t index);

  PodArray<uint64_t> bits_;
  PodArray<uint32_t> ranks_;  // of the first index of each word
  size_t count_ = 0;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_RECALLED_H_
