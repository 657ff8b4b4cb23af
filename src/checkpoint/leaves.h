// The names and values of a state dict, flat.
#ifndef DCP_CHECKPOINT_LEAVES_H_
#define DCP_CHECKPOINT_LEAVES_H_

#include <vector>

#include "metadata/flatten.h"

namespace dcp {

// Flatten's leaves, or (without `flatten`) the top level as it is: kInvalidArgument then for keys
// that are not text and for what is not a mapping. Values are never null.
Result<std::vector<FlatLeaf>> LeavesOf(const Value& state, bool flatten, FlattenRule rule);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_LEAVES_H_
