#include <map>

#include "metadata/flatten.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kMaxDepth = 1000;
// Lists are padded with none up to the index that a path names, and a path may name any.
constexpr uint64_t kFreePadding = 1 << 20;
constexpr uint64_t kPaddingPerLeaf = 16;

// A container being filled; `kUnset` is a place that nothing was set at yet.
struct Node {
  enum class Kind : uint8_t { kUnset, kLeaf, kDict, kList };
  Kind kind = Kind::kUnset;
  ValuePtr leaf;
  std::vector<uint32_t> children;               // nodes
  std::vector<std::string_view> keys;           // kDict: parallel to children
  std::map<std::string_view, uint32_t> by_key;  // kDict: position in children
};

class Builder {
 public:
  explicit Builder(size_t leaf_count) : padding_left_(kFreePadding + kPaddingPerLeaf * leaf_count) {
    nodes_.emplace_back().kind = Node::Kind::kDict;
  }

  Status Set(const FlatLeaf& leaf) {
    if (leaf.path.empty()) return Place(leaf, 0, leaf.name);
    if (leaf.path.size() > kMaxDepth + 1) {
      return Error(Code::kInvalidArgument, "the path of {} is deeper than {}",
                   PrintableName(leaf.name), kMaxDepth);
    }
    uint32_t at = 0;
    for (size_t i = 0; i < leaf.path.size(); ++i) {
      Result<uint32_t> child = Child(at, leaf.path[i]);
      if (!child.ok()) return child.status().WithContext(PrintableName(leaf.name));
      at = *child;
      if (i + 1 == leaf.path.size()) break;
      bool dict = std::holds_alternative<std::string>(leaf.path[i + 1]);
      Node& node = nodes_[at];
      if (node.kind == Node::Kind::kUnset) {
        node.kind = dict ? Node::Kind::kDict : Node::Kind::kList;
      }
    }
    nodes_[at] = Node();
    nodes_[at].kind = Node::Kind::kLeaf;
    nodes_[at].leaf = leaf.value;
    return Status::Ok();
  }

  ValuePtr Build(uint32_t id) const {
    const Node& node = nodes_[id];
    if (node.kind == Node::Kind::kLeaf) return node.leaf ? node.leaf : Value::None();
    if (node.kind == Node::Kind::kUnset) return Value::None();
    if (node.kind == Node::Kind::kList) {
      std::vector<ValuePtr> items;
      items.reserve(node.children.size());
      for (uint32_t child : node.children) {
        items.push_back(child == kPadding ? Value::None() : Build(child));
      }
      return Value::Sequence(ValueKind::kList, std::move(items));
    }
    std::vector<std::pair<ValuePtr, ValuePtr>> entries;
    entries.reserve(node.children.size());
    for (size_t i = 0; i < node.children.size(); ++i) {
      entries.emplace_back(Value::String(std::string(node.keys[i])), Build(node.children[i]));
    }
    return Value::Dict(std::move(entries));
  }

 private:
  static constexpr uint32_t kPadding = 0xffffffff;

  Status Place(const FlatLeaf& leaf, uint32_t parent, std::string_view key) {
    uint32_t child = DictChild(parent, key);
    nodes_[child] = Node();
    nodes_[child].kind = Node::Kind::kLeaf;
    nodes_[child].leaf = leaf.value;
    return Status::Ok();
  }

  uint32_t DictChild(uint32_t parent, std::string_view key) {
    auto [found, fresh] = nodes_[parent].by_key.try_emplace(key, 0);
    if (!fresh) return nodes_[parent].children[found->second];
    found->second = static_cast<uint32_t>(nodes_[parent].children.size());
    uint32_t child = static_cast<uint32_t>(nodes_.size());
    nodes_[parent].children.push_back(child);
    nodes_[parent].keys.push_back(key);
    nodes_.emplace_back();
    return child;
  }

  Result<uint32_t> Child(uint32_t parent, const PathElement& step) {
    Node::Kind kind = nodes_[parent].kind;
    if (const std::string* key = std::get_if<std::string>(&step)) {
      if (kind == Node::Kind::kDict) return DictChild(parent, *key);
      return Error(Code::kInvalidArgument, "key '{}' of something that is not a mapping",
                   PrintableName(*key));
    }
    int64_t index = std::get<int64_t>(step);
    if (kind != Node::Kind::kList || index < 0) {
      return Error(Code::kInvalidArgument, "index {} of something that is not such a list", index);
    }
    uint64_t count = nodes_[parent].children.size();
    if (static_cast<uint64_t>(index) >= count) {
      uint64_t padding = static_cast<uint64_t>(index) - count;
      if (padding > padding_left_) {
        return Error(Code::kLimit, "index {} would make a list far longer than what is to be in it",
                     index);
      }
      padding_left_ -= padding;
      nodes_[parent].children.resize(static_cast<size_t>(index) + 1, kPadding);
    }
    if (nodes_[parent].children[static_cast<size_t>(index)] == kPadding) {
      nodes_[parent].children[static_cast<size_t>(index)] = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
    }
    return nodes_[parent].children[static_cast<size_t>(index)];
  }

  std::vector<Node> nodes_;  // [0] is the root
  uint64_t padding_left_;
};

}  // namespace

Result<ValuePtr> Unflatten(const std::vector<FlatLeaf>& leaves) {
  Builder builder(leaves.size());
  for (const FlatLeaf& leaf : leaves) DCP_RETURN_IF_ERROR(builder.Set(leaf));
  return builder.Build(0);
}

}  // namespace dcp
