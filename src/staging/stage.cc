#include "staging/stage.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "base/thread_pool.h"
#include "staging/copy_groups.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr uint64_t kPiece = 8ull << 20;  // what one worker copies at a time

bool HoldsTensor(const Value& value) {
  return value.kind == ValueKind::kTensor || value.kind == ValueKind::kNumpyArray ||
         value.kind == ValueKind::kNumpyScalar;
}

// The distinct nodes of a tree, children before parents, and the tensors they hold.
class Walk {
 public:
  struct Node {
    const Value* value = nullptr;
    std::vector<const Value*> children;
    size_t first_tensor = 0;  // of `tensors`, those in this very node
    size_t tensor_count = 0;
    bool changes = false;  // a tensor is here or below
  };

  explicit Walk(const Value& root) {
    Visit(root);
    std::vector<std::pair<size_t, size_t>> stack{{0, 0}};  // node, next child
    while (!stack.empty()) {
      auto& [node, child] = stack.back();
      if (child == nodes[node].children.size()) {
        order.push_back(node);
        stack.pop_back();
        continue;
      }
      const Value* next = nodes[node].children[child++];
      if (index.contains(next)) continue;
      stack.emplace_back(Visit(*next), 0);
    }
    for (size_t node : order) {
      bool changes = nodes[node].tensor_count > 0;
      for (const Value* child : nodes[node].children) {
        changes = changes || nodes[index.at(child)].changes;
      }
      nodes[node].changes = changes;
    }
  }

  // "model.weight": the way to the node that holds tensor `wanted`, for messages.
  std::string PathTo(size_t wanted) const {
    for (const Node& node : nodes) {
      if (wanted < node.first_tensor || wanted >= node.first_tensor + node.tensor_count) continue;
      std::string path;
      const Value* at = node.value;
      for (auto parent = parents.find(at); parent != parents.end(); parent = parents.find(at)) {
        path = Step(*parent->second, *at) + (path.empty() ? "" : "." + path);
        at = parent->second;
      }
      return PrintableName(path);
    }
    return "";
  }

  std::vector<Node> nodes;  // [0] is the root
  std::vector<size_t> order;
  std::unordered_map<const Value*, size_t> index;
  std::unordered_map<const Value*, const Value*> parents;  // the first one found
  std::vector<const Tensor*> tensors;

 private:
  size_t Visit(const Value& value) {
    index.emplace(&value, nodes.size());
    Node node;
    node.value = &value;
    node.first_tensor = tensors.size();
    if (HoldsTensor(value)) tensors.push_back(&value.tensor);
    if (value.kind == ValueKind::kShardedTensor && value.sharded != nullptr) {
      for (const ShardedTensor::Shard& shard : value.sharded->shards) {
        tensors.push_back(&shard.tensor);
      }
    }
    node.tensor_count = tensors.size() - node.first_tensor;
    auto add = [&](const ValuePtr& child) {
      if (child == nullptr) return;
      node.children.push_back(child.get());
      parents.emplace(child.get(), &value);
    };
    for (const ValuePtr& item : value.items) add(item);
    for (const auto& [key, entry] : value.entries) {
      add(key);
      add(entry);
    }
    if (value.constructed != nullptr) {
      add(value.constructed->arguments);
      add(value.constructed->state);
    }
    nodes.push_back(std::move(node));
    return nodes.size() - 1;
  }

  static std::string Step(const Value& parent, const Value& child) {
    for (size_t i = 0; i < parent.items.size(); ++i) {
      if (parent.items[i].get() == &child) return std::to_string(i);
    }
    for (const auto& [key, entry] : parent.entries) {
      if (entry.get() == &child) {
        return key->kind == ValueKind::kString ? key->text : ToString(*key);
      }
    }
    return "?";
  }
};

struct Piece {
  const StageCopy* copy;
  uint64_t offset;
  uint64_t size;
};

std::vector<Piece> CutIntoPieces(const StageLayout& layout) {
  std::vector<Piece> pieces;
  for (const StageCopy& copy : layout.copies) {
    if (copy.gather != nullptr || !copy.device.is_cpu()) {
      pieces.push_back({&copy, 0, copy.size});
      continue;
    }
    for (uint64_t at = 0; at < copy.size; at += kPiece) {
      pieces.push_back({&copy, at, std::min(kPiece, copy.size - at)});
    }
  }
  return pieces;
}

Status CopyPiece(const Piece& piece, std::byte* arena, DeviceCopier* copier) {
  const StageCopy& copy = *piece.copy;
  std::byte* to = arena + copy.to + piece.offset;
  if (copy.gather != nullptr) {
    GatherElements(*copy.gather, 0, copy.gather->num_elements(), to);
    return Status::Ok();
  }
  if (copy.device.is_cpu()) {
    std::memcpy(to, copy.from + piece.offset, piece.size);
    return Status::Ok();
  }
  return copier->ToHost(copy.device, copy.from + piece.offset, {to, piece.size});
}

Status CheckDevices(const Walk& walk, const StageLayout& layout, const DeviceCopier* copier) {
  for (const StageCopy& copy : layout.copies) {
    if (copy.device.is_cpu() || (copier != nullptr && copier->Handles(copy.device))) continue;
    return Error(
        Code::kUnsupported, "tensor '{}' lies on device {}:{} (DLPack's numbers), and {}",
        walk.PathTo(copy.first), copy.device.type, copy.device.index,
        copier == nullptr ? "no device copier was given" : "the device copier does not handle it");
  }
  return Status::Ok();
}

class Rebuild {
 public:
  Rebuild(const Walk& walk, const StageLayout& layout, std::shared_ptr<std::byte> arena)
      : walk_(walk), layout_(layout), arena_(std::move(arena)), made_(walk.nodes.size()) {}

  ValuePtr Run() {
    for (size_t node : walk_.order) {
      if (walk_.nodes[node].changes || node == 0) made_[node] = Make(walk_.nodes[node]);
    }
    return made_[0];
  }

 private:
  Tensor Staged(const Tensor& tensor, size_t number) const {
    Tensor staged = tensor;
    const StageLayout::Place& place = layout_.places[number];
    if (place.row_major) staged.strides = ContiguousStrides(tensor.shape);
    staged.data = arena_ == nullptr ? nullptr : arena_.get() + place.offset;
    staged.owner = arena_;
    staged.device = Device();
    staged.read_only = false;
    return staged;
  }

  ValuePtr Renewed(const ValuePtr& child) const {
    if (child == nullptr) return child;
    const ValuePtr& made = made_[walk_.index.at(child.get())];
    return made == nullptr ? child : made;
  }

  ValuePtr Make(const Walk::Node& node) const {
    auto value = std::make_shared<Value>(*node.value);
    if (!node.changes) return value;
    if (HoldsTensor(*value)) value->tensor = Staged(value->tensor, node.first_tensor);
    if (value->kind == ValueKind::kShardedTensor && value->sharded != nullptr) {
      auto sharded = std::make_shared<ShardedTensor>(*value->sharded);
      for (size_t i = 0; i < sharded->shards.size(); ++i) {
        sharded->shards[i].tensor = Staged(sharded->shards[i].tensor, node.first_tensor + i);
      }
      value->sharded = std::move(sharded);
    }
    for (ValuePtr& item : value->items) item = Renewed(item);
    for (auto& [key, entry] : value->entries) {
      key = Renewed(key);
      entry = Renewed(entry);
    }
    if (value->constructed != nullptr) {
      auto constructed = std::make_shared<Constructed>(*value->constructed);
      constructed->arguments = Renewed(constructed->arguments);
      constructed->state = Renewed(constructed->state);
      value->constructed = std::move(constructed);
    }
    return value;
  }

  const Walk& walk_;
  const StageLayout& layout_;
  std::shared_ptr<std::byte> arena_;
  std::vector<ValuePtr> made_;
};

}  // namespace

Result<ValuePtr> Stage(const Value& state, const Engine& engine, Progress* progress,
                       ArenaKeeper* keeper) {
  Walk walk(state);
  DCP_ASSIGN_OR_RETURN(StageLayout layout, LayOutStage(walk.tensors));
  DCP_RETURN_IF_ERROR(CheckDevices(walk, layout, engine.copier.get()));
  DCP_ASSIGN_OR_RETURN(std::shared_ptr<std::byte> arena, keeper == nullptr
                                                             ? NewArena(layout.arena_size)
                                                             : keeper->Take(layout.arena_size));

  uint64_t bytes = 0;
  for (const StageCopy& copy : layout.copies) bytes += copy.size;
  if (progress != nullptr) {
    DCP_RETURN_IF_ERROR(progress->Begin(ProgressPhase::kStage, bytes, layout.copies.size()));
  }
  std::vector<Piece> pieces = CutIntoPieces(layout);
  size_t workers = std::min(WorkerCount(engine.threads), std::max<size_t>(bytes / kPiece, 1));
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  DCP_RETURN_IF_ERROR(RunParallel(workers, [&](size_t) {
    while (!stop.load(std::memory_order_relaxed)) {
      size_t at = next.fetch_add(1, std::memory_order_relaxed);
      if (at >= pieces.size()) break;
      const Piece& piece = pieces[at];
      Status copied = CopyPiece(piece, arena.get(), engine.copier.get());
      if (!copied.ok()) {
        copied = copied.WithContext(
            fmt::format("copying tensor '{}' to the host", walk.PathTo(piece.copy->first)));
      } else if (progress != nullptr) {
        bool last = piece.offset + piece.size == piece.copy->size;
        copied = progress->Advance(piece.size, last ? 1 : 0);
      }
      if (!copied.ok()) {
        stop = true;
        return copied;
      }
    }
    return Status::Ok();
  }));
  if (progress != nullptr) DCP_RETURN_IF_ERROR(progress->End());
  return Rebuild(walk, layout, std::move(arena)).Run();
}

bool HoldsDeviceTensors(const Value& state) {
  const Walk walk(state);
  return std::any_of(walk.tensors.begin(), walk.tensors.end(),
                     [](const Tensor* tensor) { return !tensor->device.is_cpu(); });
}

}  // namespace dcp
