// Upstream's dedup_save_plans: which rank writes what several hold.
#ifndef DCP_PLANNER_DEDUP_H_
#define DCP_PLANNER_DEDUP_H_

#include <cstdint>
#include <span>
#include <vector>

#include "planner/gathered_name.h"

namespace dcp {

// An item by its name and its number there.
struct NamedItem {
  uint32_t name;
  uint32_t item;
};

// Items of one name with the same offset (objects: all of them) have one key.
void FindRepeats(GatheredName* name);

// Fills `keep` of the names that have repeats. `plans`: the items of each rank in their order. Keys
// are dealt in order of first appearance, each to the rank with the least cost so far (of several
// the first in SetOrder), or to the lowest rank. The cost of a key is the bytes of its whole
// tensor, of the dtype that the last of its items has, at least 1. `dtypes`: by number of
// properties.
void Deal(const std::vector<std::vector<NamedItem>>& plans, std::span<const DType> dtypes,
          bool to_lowest_rank, std::vector<GatheredName>* names);

}  // namespace dcp

#endif  // DCP_PLANNER_DEDUP_H_
