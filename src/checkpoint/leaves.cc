#include "checkpoint/leaves.h"

#include <unordered_set>

#include "value/names.h"

namespace dcp {

namespace {

Result<std::vector<FlatLeaf>> TopLevel(const Value& state) {
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

}  // namespace

Result<std::vector<FlatLeaf>> LeavesOf(const Value& state, bool flatten, FlattenRule rule) {
  DCP_ASSIGN_OR_RETURN(std::vector<FlatLeaf> leaves,
                       flatten ? Flatten(state, rule) : TopLevel(state));
  for (const FlatLeaf& leaf : leaves) {
    if (leaf.value != nullptr) continue;
    return Error(Code::kInvalidArgument, "{} has no value", PrintableName(leaf.name));
  }
  return leaves;
}

}  // namespace dcp
