#include <algorithm>
#include <bit>
#include <functional>
#include <unordered_map>

#include "value/value.h"

namespace dcp {
namespace {

// Depth to which a hash looks; deeper differences are found by the comparison itself.
constexpr int kHashDepth = 100;

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

bool SameSharded(const ShardedTensor& a, const ShardedTensor& b) {
  if (a.dtype != b.dtype || a.global_shape != b.global_shape ||
      a.shards.size() != b.shards.size()) {
    return false;
  }
  for (size_t i = 0; i < a.shards.size(); ++i) {
    if (a.shards[i].offsets != b.shards[i].offsets ||
        !EqualElements(a.shards[i].tensor, b.shards[i].tensor)) {
      return false;
    }
  }
  return true;
}

bool SameOpaque(const Opaque& a, const Opaque& b) {
  if (a.global != b.global) return false;
  if (a.pickled == nullptr || b.pickled == nullptr) return a.pickled == b.pickled;
  return *a.pickled == *b.pickled;
}

// Absent on both sides, or the same by `same`.
template <typename T, typename Same>
bool SamePointee(const std::shared_ptr<T>& a, const std::shared_ptr<T>& b, Same same) {
  if (a == nullptr || b == nullptr) return a == b;
  return a == b || same(*a, *b);
}

// Everything but the children.
bool SameNode(const Value& a, const Value& b) {
  if (a.kind != b.kind || a.items.size() != b.items.size() ||
      a.entries.size() != b.entries.size() ||
      (a.constructed == nullptr) != (b.constructed == nullptr)) {
    return false;
  }
  switch (a.kind) {
    case ValueKind::kBool:
      return a.boolean == b.boolean;
    case ValueKind::kFloat:
    case ValueKind::kComplex:
      return SameBits(a.real, b.real) && SameBits(a.imaginary, b.imaginary);
    case ValueKind::kSize:
      return a.size == b.size;
    case ValueKind::kTensor:
    case ValueKind::kNumpyArray:
    case ValueKind::kNumpyScalar:
      return a.name == b.name && EqualElements(a.tensor, b.tensor);
    case ValueKind::kShardedTensor:
      return SamePointee(a.sharded, b.sharded, SameSharded);
    case ValueKind::kOpaque:
      return SamePointee(a.opaque, b.opaque, SameOpaque);
    case ValueKind::kConstructed:
      return SamePointee(a.constructed, b.constructed,
                         [](const auto& x, const auto& y) { return x.global == y.global; });
    default:
      return a.text == b.text && a.name == b.name;
  }
}

// Hashes of set members and dict keys, the same for equal values whatever their order.
class Hasher {
 public:
  size_t Hash(const Value* value, int depth = 0) {
    if (value == nullptr || depth > kHashDepth) return 0;
    auto mix = [](size_t a, size_t b) { return (a ^ b) * 0x9e3779b97f4a7c15u + (a >> 29); };
    size_t hash = static_cast<size_t>(value->kind) + (value->boolean ? 64 : 0);
    hash = mix(hash, std::hash<std::string_view>()(value->text));
    hash = mix(hash, std::bit_cast<uint64_t>(value->real));
    for (int64_t size : value->size) hash = mix(hash, static_cast<size_t>(size));
    if (value->items.empty() && value->entries.empty() && value->constructed == nullptr) {
      return hash;
    }
    // The depth counts: a node cut short at the limit hashes differently further up.
    auto found = known_.find({value, depth});
    if (found != known_.end()) return found->second;
    const bool any_order = value->kind == ValueKind::kSet || value->kind == ValueKind::kFrozenSet;
    for (const ValuePtr& item : value->items) {
      const size_t member = Hash(item.get(), depth + 1);
      hash = any_order ? hash + mix(member, 1) : mix(hash, member);
    }
    hash += value->entries.size();
    if (value->constructed != nullptr) {
      hash = mix(hash, std::hash<std::string>()(value->constructed->global));
      hash = mix(hash, Hash(value->constructed->arguments.get(), depth + 1));
      hash = mix(hash, Hash(value->constructed->state.get(), depth + 1));
    }
    known_.emplace(std::pair(value, depth), hash);
    return hash;
  }

 private:
  struct PairHash {
    size_t operator()(const std::pair<const Value*, int>& pair) const {
      return std::hash<const void*>()(pair.first) * 31 + static_cast<size_t>(pair.second);
    }
  };
  std::unordered_map<std::pair<const Value*, int>, size_t, PairHash> known_;
};

// Two nodes assumed equal are put into one class (union-find), so that a pair of shared nodes is
// compared once: the work is linear in nodes, not in paths.
class Comparison {
 public:
  bool Run(const Value& a, const Value& b) {
    if (!Require(&a, &b)) return false;
    while (!pending_.empty()) {
      auto [left, right] = pending_.back();
      pending_.pop_back();
      if (!Children(*left, *right)) return false;
    }
    return true;
  }

 private:
  bool Require(const Value* a, const Value* b) {
    if (a == b) return true;
    if (a == nullptr || b == nullptr || !SameNode(*a, *b)) return false;
    if (a->items.empty() && a->entries.empty() && a->constructed == nullptr) return true;
    const Value* class_a = Class(a);
    const Value* class_b = Class(b);
    if (class_a == class_b) return true;
    parent_[class_a] = class_b;
    pending_.emplace_back(a, b);
    return true;
  }

  bool Children(const Value& a, const Value& b) {
    if (a.constructed != nullptr && a.constructed != b.constructed) {
      if (!Require(a.constructed->arguments.get(), b.constructed->arguments.get()) ||
          !Require(a.constructed->state.get(), b.constructed->state.get())) {
        return false;
      }
    }
    return Items(a, b) && Entries(a, b);
  }

  bool Items(const Value& a, const Value& b) {
    if (a.kind != ValueKind::kSet && a.kind != ValueKind::kFrozenSet) {
      return std::equal(a.items.begin(), a.items.end(), b.items.begin(),
                        [this](const auto& x, const auto& y) { return Require(x.get(), y.get()); });
    }
    auto of = [](const ValuePtr& item) { return item.get(); };
    const auto left = Ordered(a.items, of);
    const auto right = Ordered(b.items, of);
    for (size_t i = 0; i < left.size(); ++i) {
      if (left[i].first != right[i].first) return false;
      if (!Require(a.items[left[i].second].get(), b.items[right[i].second].get())) return false;
    }
    return true;
  }

  bool Entries(const Value& a, const Value& b) {
    auto require = [this](const auto& x, const auto& y) {
      return Require(x.first.get(), y.first.get()) && Require(x.second.get(), y.second.get());
    };
    auto same_key = [](const auto& x, const auto& y) {
      return x.first != nullptr && y.first != nullptr && x.first->items.empty() &&
             SameNode(*x.first, *y.first);
    };
    if (a.kind == ValueKind::kOrderedDict ||
        std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), same_key)) {
      return std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), require);
    }
    auto of = [](const auto& entry) { return entry.first.get(); };
    const auto left = Ordered(a.entries, of);
    const auto right = Ordered(b.entries, of);
    for (size_t i = 0; i < left.size(); ++i) {
      if (left[i].first != right[i].first) return false;
      if (!require(a.entries[left[i].second], b.entries[right[i].second])) return false;
    }
    return true;
  }

  template <typename Children, typename Of>
  std::vector<std::pair<size_t, size_t>> Ordered(const Children& children, Of of) {
    std::vector<std::pair<size_t, size_t>> order;  // hash, index
    order.reserve(children.size());
    for (const auto& child : children) order.emplace_back(hasher_.Hash(of(child)), order.size());
    std::sort(order.begin(), order.end());
    return order;
  }

  const Value* Class(const Value* value) {
    const Value* top = value;
    for (auto found = parent_.find(top); found != parent_.end(); found = parent_.find(top)) {
      top = found->second;
    }
    while (value != top) {
      const Value*& next = parent_[value];
      value = next;
      next = top;
    }
    return top;
  }

  std::unordered_map<const Value*, const Value*> parent_;
  std::vector<std::pair<const Value*, const Value*>> pending_;
  Hasher hasher_;
};

}  // namespace

bool Equal(const Value& a, const Value& b) { return Comparison().Run(a, b); }

}  // namespace dcp
