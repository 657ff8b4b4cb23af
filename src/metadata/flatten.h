// Nested state dict <-> flat names, by upstream's rules (_nested_dict, _traverse).
#ifndef DCP_METADATA_FLATTEN_H_
#define DCP_METADATA_FLATTEN_H_

#include <string>
#include <utility>
#include <vector>

#include "metadata/metadata.h"
#include "value/value.h"

namespace dcp {

enum class FlattenRule : int32_t {
  kDefault = 0,  // 2.4 and later
  kTorch23 = 1,  // up to 2.3: a mapping with no tensor inside is one leaf
};

struct FlatLeaf {
  std::string name;  // path joined by '.', keys and indices as text
  Path path;
  ValuePtr value;
};

// Mappings are always entered (an empty one vanishes); a list is entered when it holds, at any
// depth, a tensor or a container to enter; tuples, sets and other objects are leaves. Keys become
// text as Python's str() makes them. kInvalidArgument for two leaves of one name ("duplicated
// flatten key ..."), for a root that is not a mapping, and for nesting deeper than 1000.
Result<std::vector<FlatLeaf>> Flatten(const Value& root, FlattenRule rule);

// Rebuilds the nesting: text elements make dicts, indices lists (padded with none), as upstream's
// set_element. A name without a path stands at the root under its own name.
Result<ValuePtr> Unflatten(const std::vector<FlatLeaf>& leaves);

}  // namespace dcp

#endif  // DCP_METADATA_FLATTEN_H_
