// The order in which CPython walks a set of small numbers. Upstream deals an item to the first of
// the least loaded ranks as such a set gives them, and that is not always the lowest.
#ifndef DCP_PLANNER_SET_ORDER_H_
#define DCP_PLANNER_SET_ORDER_H_

#include <cstdint>
#include <span>
#include <vector>

namespace dcp {

// Reused, so that nothing is allocated for each set.
class SetOrder {
 public:
  // `members`: different numbers below 2^32 - 1, ascending, the order in which they are added to an
  // empty set. The result holds until the next call.
  std::span<const uint32_t> Of(std::span<const uint32_t> members);

 private:
  void Grow(uint64_t used);
  void Insert(uint32_t member);

  std::vector<uint32_t> table_;
  std::vector<uint32_t> order_;
};

}  // namespace dcp

#endif  // DCP_PLANNER_SET_ORDER_H_
