// The state of an object, as picklers write that of most dataclasses: a dict of names and of
// numbers, texts, shapes, things put earlier, and small objects and lists of these. Millions of
// them differ in a few arguments only: a pattern is learned from one and matched with the others.
#ifndef DCP_PICKLE_STATE_PATTERN_H_
#define DCP_PICKLE_STATE_PATTERN_H_

#include <array>
#include <memory>

#include "base/bytes.h"
#include "pickle/graph.h"

namespace dcp::pickle {

// Opcodes only: it knows no memo. What is recalled is an index here.
class StatePattern {
 public:
  static constexpr uint64_t kAnyIndex = UINT64_MAX;
  static constexpr uint64_t kLongestText = 1 << 12;
  static constexpr size_t kMostMemoised = 64;

  // An index asked for, and the value that is the answer's.
  struct Recall {
    uint64_t index;
    PlainValue* value;
    uint32_t memoised_before;  // how much of the state was memoised by then
  };

  StatePattern() {}  // many are short: nothing is filled before it is used

  // Makes this the pattern of what lies at `at`, from behind an object's NEWOBJ up to and including
  // its BUILD. False when that is not plain; this is then no pattern.
  bool Learn(const std::byte* at, const std::byte* end);
  // True when such a state lies at `at`. What it memoises must be put at `base` and so on, unless
  // that is kAnyIndex. Values and recalls are then those of that state.
  bool Match(const std::byte* at, const std::byte* end, uint64_t base);

  // Of the state matched last.
  const std::byte* end() const { return end_; }
  std::span<const PlainValue> pairs() const { return values_[0].items(); }
  std::span<const Recall> recalls() const { return {recalls_.data(), recall_count_}; }

  // The same in every state of this pattern. Recalls of keys, classes and callables:
  std::span<const Recall> fixed_recalls() const { return {fixed_recalls_.data(), fixed_count_}; }
  std::span<PlainValue* const> texts() const { return {texts_.data(), text_count_}; }
  uint32_t memoised() const { return memoised_; }
  // What was memoised as the `i`th was the kNumbers value; null when it was something else.
  const PlainValue* numbers_memoised(size_t i) const { return calls_[i]; }
  uint64_t numbers_mask() const { return calls_mask_; }  // bit i: numbers_memoised(i) is not null
  uint32_t depth() const { return depth_; }              // MARKs on the stack at once

  // For whoever uses it: whether the fixed recalls have been seen to.
  bool settled() const { return settled_; }
  void Settle() { settled_ = true; }

 private:
  class Learner;
  static constexpr size_t kMostItems = 16;
  static constexpr size_t kMostContainers = 8;
  static constexpr size_t kMostNumbers = 160;
  static constexpr size_t kMostSteps = 96;
  static constexpr size_t kMostFixed = 512;
  static constexpr size_t kMostRecalls = 32;

  // Some bytes that are always the same, and one thing that is not.
  struct Step {
    enum class Kind : uint8_t {
      kEnd,      // nothing
      kNumbers,  // `count` integers, into *number and those behind it
      kText,     // into *value
      kRecall,   // recalls_[at]
      kPut,      // memo index `at` of this state
    };
    Kind kind;
    uint16_t fixed_at;  // in fixed_
    uint16_t fixed_size;
    uint16_t count;
    uint16_t at;
    union {
      uint64_t* number;
      PlainValue* value;
    };
  };

  template <bool kChecked>
  bool Follow(const std::byte* at, const std::byte* end, uint64_t base);

  std::array<Step, kMostSteps> steps_;
  size_t step_count_ = 0;
  std::array<std::byte, kMostFixed> fixed_;  // each step's bytes begin at a multiple of 8
  size_t longest_ = 0;                       // bytes that may be looked at
  std::array<Recall, kMostRecalls> recalls_;
  size_t recall_count_ = 0;
  std::array<Recall, kMostRecalls> fixed_recalls_;
  size_t fixed_count_ = 0;
  std::array<PlainValue*, kMostRecalls> texts_;
  size_t text_count_ = 0;
  std::array<const PlainValue*, kMostMemoised> calls_;
  uint64_t calls_mask_ = 0;
  uint32_t memoised_ = 0;
  uint32_t depth_ = 0;
  bool settled_ = false;
  const std::byte* end_ = nullptr;
  std::array<uint64_t, kMostNumbers> numbers_;
  union {
    std::array<PlainValue, 1 + kMostItems * kMostContainers> values_;  // the first: the whole
  };
};

// The patterns met last.
class StatePatterns {
 public:
  struct Found {
    StatePattern* pattern;  // null: no plain state lies there
    uint64_t form;          // a number of its own for each that was learned; never 0
  };
  // Of the state at `at`, which is then matched. Valid until the next call.
  Found Find(const std::byte* at, const std::byte* end, uint64_t base);

 private:
  static constexpr size_t kMost = 16;
  struct Known {
    std::unique_ptr<StatePattern> pattern;
    uint64_t form = 0;
    Known* follower = nullptr;  // which came after it last
  };
  Found Use(Known* known);

  std::unique_ptr<Known[]> known_;  // kMost of them, once there is one
  size_t count_ = 0;
  Known* last_ = nullptr;
  size_t oldest_ = 0;
  uint64_t forms_ = 0;
  std::unique_ptr<StatePattern> spare_;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_STATE_PATTERN_H_
