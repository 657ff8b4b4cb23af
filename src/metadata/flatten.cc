#include "metadata/flatten.h"

#include <algorithm>
#include <unordered_map>

#include "metadata/id_table.h"
#include "metadata/python_text.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kMaxDepth = 1000;
// A tree of shared nodes can be far larger than the memory it takes.
constexpr uint64_t kMaxNodes = uint64_t{1} << 24;

bool IsTensor(const Value& value) {
  return value.kind == ValueKind::kTensor || value.kind == ValueKind::kShardedTensor;
}

class Flattener {
 public:
  explicit Flattener(FlattenRule rule) : rule_(rule) {}

  Result<std::vector<FlatLeaf>> Run(const Value& root) {
    if (!root.is_mapping()) {
      return Error(Code::kInvalidArgument, "a state dict must be a mapping, not {}",
                   ToString(root));
    }
    uint64_t nodes = 0;
    DCP_RETURN_IF_ERROR(AddTreeSize(root, 0, &nodes));
    if (nodes > kMaxNodes) {
      return Error(Code::kLimit, "the state dict has more than {} nodes", kMaxNodes);
    }
    leaves_.reserve(root.entries.size());
    names_.Reserve(root.entries.size());
    DCP_RETURN_IF_ERROR(EnterMapping(root));
    return std::move(leaves_);
  }

 private:
  Status Visit(const ValuePtr& value) {
    bool enter = false;
    if (value) DCP_RETURN_IF_ERROR(Enters(*value, 0, &enter));
    if (!enter) return AddLeaf(value);
    if (path_.size() > kMaxDepth) return TooDeep();
    return value->is_mapping() ? EnterMapping(*value) : EnterList(*value);
  }

  Status EnterMapping(const Value& value) {
    for (const auto& [key, element] : value.entries) {
      if (key->kind == ValueKind::kString) {
        path_.emplace_back(key->text);
      } else {
        Result<std::string> text = KeyText(*key);
        if (!text.ok()) return text.status().WithContext(Where());
        path_.emplace_back(*std::move(text));
      }
      DCP_RETURN_IF_ERROR(Visit(element));
      path_.pop_back();
    }
    return Status::Ok();
  }

  Status EnterList(const Value& value) {
    for (size_t i = 0; i < value.items.size(); ++i) {
      path_.emplace_back(static_cast<int64_t>(i));
      DCP_RETURN_IF_ERROR(Visit(value.items[i]));
      path_.pop_back();
    }
    return Status::Ok();
  }

  // Adds the nodes of the tree that will be visited below `value`, itself included and shared ones
  // counted each time; stops growing at twice the limit.
  Status AddTreeSize(const Value& value, size_t depth, uint64_t* total) {
    bool enters = false;
    DCP_RETURN_IF_ERROR(Enters(value, 0, &enters));
    uint64_t size = 1;
    if (enters) {
      auto known = sizes_.find(&value);
      if (known == sizes_.end()) {
        if (depth > kMaxDepth) return TooDeep();
        bool mapping = value.is_mapping();
        size_t count = mapping ? value.entries.size() : value.items.size();
        for (size_t i = 0; i < count && size <= kMaxNodes; ++i) {
          const ValuePtr& element = mapping ? value.entries[i].second : value.items[i];
          if (element) DCP_RETURN_IF_ERROR(AddTreeSize(*element, depth + 1, &size));
        }
        known = sizes_.emplace(&value, size).first;
      }
      size = known->second;
    }
    *total = std::min(*total + size, 2 * kMaxNodes);
    return Status::Ok();
  }

  // Whether a value is entered; answers for containers are kept, since nodes may be shared.
  Status Enters(const Value& value, size_t depth, bool* enters) {
    *enters = false;
    bool mapping = value.is_mapping();
    if (mapping && rule_ == FlattenRule::kDefault) {
      *enters = true;
      return Status::Ok();
    }
    if (!mapping && value.kind != ValueKind::kList) return Status::Ok();
    if (auto known = enters_.find(&value); known != enters_.end()) {
      *enters = known->second;
      return Status::Ok();
    }
    if (depth > kMaxDepth) return TooDeep();
    size_t count = mapping ? value.entries.size() : value.items.size();
    for (size_t i = 0; i < count && !*enters; ++i) {
      const ValuePtr& element = mapping ? value.entries[i].second : value.items[i];
      if (!element) continue;
      if (IsTensor(*element)) {
        *enters = true;
      } else {
        DCP_RETURN_IF_ERROR(Enters(*element, depth + 1, enters));
      }
    }
    enters_.emplace(&value, *enters);
    return Status::Ok();
  }

  // Takes the last element of path_, which its caller is done with.
  Status AddLeaf(const ValuePtr& value) {
    std::string name = Name();
    uint32_t id = static_cast<uint32_t>(leaves_.size());
    uint32_t there = names_.FindOrAdd(SeededHash(name), id,
                                      [&](uint32_t other) { return leaves_[other].name == name; });
    if (there != id) {
      return Error(Code::kInvalidArgument, "duplicated flatten key {}", PrintableName(name));
    }
    FlatLeaf& leaf = leaves_.emplace_back();
    leaf.name = std::move(name);
    leaf.path.reserve(path_.size());
    leaf.path.assign(path_.begin(), path_.end() - 1);
    leaf.path.push_back(std::move(path_.back()));
    leaf.value = value ? value : Value::None();
    return Status::Ok();
  }

  std::string Name() const {
    const std::string* only = path_.size() == 1 ? std::get_if<std::string>(&path_[0]) : nullptr;
    if (only != nullptr) return *only;
    std::string name;
    for (size_t i = 0; i < path_.size(); ++i) {
      if (i > 0) name += '.';
      if (const std::string* key = std::get_if<std::string>(&path_[i])) {
        name += *key;
      } else {
        name += std::to_string(std::get<int64_t>(path_[i]));
      }
    }
    return name;
  }

  std::string Where() const {
    return path_.empty() ? std::string("the state dict") : PrintableName(Name());
  }

  Status TooDeep() const {
    return Error(Code::kInvalidArgument, "the state dict is nested deeper than {} at {}", kMaxDepth,
                 Where());
  }

  const FlattenRule rule_;
  std::vector<FlatLeaf> leaves_;
  Path path_;
  IdTable names_;
  std::unordered_map<const Value*, bool> enters_;
  std::unordered_map<const Value*, uint64_t> sizes_;
};

}  // namespace

Result<std::vector<FlatLeaf>> Flatten(const Value& root, FlattenRule rule) {
  return Flattener(rule).Run(root);
}

}  // namespace dcp
