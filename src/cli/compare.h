// Two entries' values, side by side, in bounded memory.
#ifndef DCP_CLI_COMPARE_H_
#define DCP_CLI_COMPARE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "cli/checkpoint.h"

namespace dcp::cli {

struct TensorDifference {
  uint64_t elements = 0;       // that differ in any bit
  std::vector<int64_t> first;  // index of the first one met
  uint64_t covered_a = 0;      // elements that shards hold
  uint64_t covered_b = 0;
  uint64_t unverified_bytes = 0;

  bool any() const { return elements > 0 || covered_a != covered_b; }
};

// What is compared at once, of each side.
inline constexpr uint64_t kCompareBytes = 16 << 20;

// `a` and `b` have the same dtype, known to the library, and the same shape. Goes along the shards
// of `a`. `done` hears of bytes compared and returns false to stop (DCP_CANCELLED). *from_b says
// on which side a failure was.
Failure CompareTensors(const Checkpoint& checkpoint_a, const Entry& a,
                       const Checkpoint& checkpoint_b, const Entry& b,
                       const std::function<bool(uint64_t bytes)>& done, TensorDifference* out,
                       bool* from_b);

}  // namespace dcp::cli

#endif  // DCP_CLI_COMPARE_H_
