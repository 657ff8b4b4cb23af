#include "checkpoint/leaves.h"

#include <unordered_set>

#include "value/names.h"

namespace dcp {

Result<std::vector<FlatLeaf>> LeavesOf(const Value& state, bool flatten, FlattenRule rule) {
  if (flatten) return Flatten(state, rule);
  if (!state.is_mapping()) {
    return Status(Code::kInvalidArgument, "a state dict must be a mapping of names to values");
  }
  std::vector<FlatLeaf> leaves;
  std::unordered_set<std::string_view> seen;
  for (const auto& [key, value] : state.entries) {
    if (key == nullptr || key->kind != ValueKind::kString) {
      return Error(Code::kInvalidArgument,
                   "the key {} of the state dict is not a text: without flattening every name must "
                   "be one",
                   key == nullptr ? "None" : ToString(*key));
    }
    if (!seen.insert(key->text).second) {
      return Error(Code::kInvalidArgument, "the state dict holds the name {} twice",
                   PrintableName(key->text));
    }
    leaves.push_back({key->text, {key->text}, value});
  }
  return leaves;
}

}  // namespace dcp
