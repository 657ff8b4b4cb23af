// Upstream's dedup_save_plans: which rank writes what several hold.
#ifndef DCP_PLANNER_DEDUP_H_
#define DCP_PLANNER_DEDUP_H_

#include <cstdint>
#include <vector>

#include "planner/plan.h"

namespace dcp {

// One number for each name that any plan mentions, in order of first use by an item.
struct GlobalNames {
  std::vector<std::string_view> names;     // borrow the plans
  std::vector<std::vector<uint32_t>> ids;  // [rank][SavePlan::names index]; unused: 0xffffffff
};
GlobalNames NumberNames(const std::vector<SavePlan>& plans);

// keep[rank][item]: 1 when the item stays. An item's key is its name and its offset (none for
// bytes); keys are dealt in order of first appearance, each to the rank with the least cost so
// far (of several the first in SetOrder), or to the lowest rank. The cost of a key is the bytes of
// its whole tensor, at least 1. Plans were checked.
std::vector<std::vector<uint8_t>> Dedup(const std::vector<SavePlan>& plans,
                                        const GlobalNames& names, bool to_lowest_rank);

}  // namespace dcp

#endif  // DCP_PLANNER_DEDUP_H_
