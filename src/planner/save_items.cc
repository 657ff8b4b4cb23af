#include <utility>

#include "planner/save_planner.h"

namespace dcp {
namespace {

uint32_t InternProperties(const TensorProperties& properties, SavePlan* plan) {
  for (size_t i = plan->properties.size(); i-- > 0;) {
    if (plan->properties[i] == properties) return static_cast<uint32_t>(i);
  }
  plan->properties.push_back(properties);
  return static_cast<uint32_t>(plan->properties.size() - 1);
}

uint32_t AppendDims(Dims dims, SavePlan* plan) {
  uint32_t at = static_cast<uint32_t>(plan->dims.size());
  plan->dims.insert(plan->dims.end(), dims.begin(), dims.end());
  return at;
}

TensorProperties PropertiesOf(DType dtype, bool requires_grad) {
  TensorProperties properties;
  properties.dtype = dtype;
  properties.requires_grad = requires_grad;
  return properties;
}

void AddTensor(const Tensor& tensor, WriteItem item, SavePlan* plan) {
  item.kind = WriteKind::kTensor;
  item.ndim = static_cast<uint8_t>(tensor.shape.size());
  item.properties = InternProperties(PropertiesOf(tensor.dtype, tensor.requires_grad), plan);
  item.box = static_cast<uint32_t>(plan->dims.size());
  plan->dims.insert(plan->dims.end(), tensor.shape.size(), 0);
  item.global = AppendDims(tensor.shape, plan);
  plan->items.push_back(item);
}

void AddShards(const ShardedTensor& sharded, WriteItem item, SavePlan* plan) {
  if (sharded.shards.empty()) return;
  item.kind = WriteKind::kShard;
  item.ndim = static_cast<uint8_t>(sharded.global_shape.size());
  item.properties = InternProperties(PropertiesOf(sharded.dtype, sharded.requires_grad), plan);
  item.global = AppendDims(sharded.global_shape, plan);
  for (const ShardedTensor::Shard& shard : sharded.shards) {
    bool sound = shard.offsets.size() == item.ndim && shard.tensor.shape.size() == item.ndim;
    // A box that validation refuses by name stands for a shard of another rank.
    item.box = AppendDims(sound ? shard.offsets : Shape(item.ndim, -1), plan);
    AppendDims(sound ? shard.tensor.shape : Shape(item.ndim, 0), plan);
    item.source = static_cast<uint32_t>(plan->items.size());
    plan->items.push_back(item);
  }
}

}  // namespace

SavePlan CreateLocalSavePlan(std::vector<FlatLeaf>& leaves, bool flattened) {
  SavePlan plan;
  plan.flattened = flattened;
  plan.names.reserve(leaves.size());
  plan.items.reserve(leaves.size());
  if (flattened) plan.planner_data.reserve(leaves.size());
  for (FlatLeaf& leaf : leaves) {
    WriteItem item;
    item.name = static_cast<uint32_t>(plan.names.size());
    item.source = static_cast<uint32_t>(plan.items.size());
    plan.names.push_back(leaf.name);
    Path path = std::exchange(leaf.path, Path());
    if (flattened) plan.planner_data.emplace_back(leaf.name, std::move(path));
    if (leaf.value && leaf.value->kind == ValueKind::kTensor) {
      AddTensor(leaf.value->tensor, item, &plan);
    } else if (leaf.value && leaf.value->kind == ValueKind::kShardedTensor) {
      AddShards(*leaf.value->sharded, item, &plan);
    } else {
      plan.items.push_back(item);
    }
  }
  return plan;
}

std::vector<Source> LocalSources(const std::vector<FlatLeaf>& leaves) {
  std::vector<Source> sources;
  sources.reserve(leaves.size());
  for (uint32_t leaf = 0; leaf < leaves.size(); ++leaf) {
    const Value* value = leaves[leaf].value.get();
    bool sharded = value && value->kind == ValueKind::kShardedTensor;
    size_t count = sharded ? value->sharded->shards.size() : 1;
    for (uint32_t shard = 0; shard < count; ++shard) sources.push_back({leaf, shard});
  }
  return sources;
}

}  // namespace dcp
