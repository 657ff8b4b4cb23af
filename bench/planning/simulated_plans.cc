#include "planning/simulated_plans.h"

#include <fmt/format.h>

#include <iterator>

namespace dcp::bench {
namespace {

constexpr int64_t kRows = 16;  // of a shard
constexpr int64_t kColumns = 4096;
constexpr std::string_view kKinds[] = {
    "attention.wq.weight",    "attention.wk.weight",    "attention.wv.weight",
    "attention.wo.weight",    "feed_forward.w1.weight", "feed_forward.w2.weight",
    "feed_forward.w3.weight", "attention_norm.weight",  "ffn_norm.weight"};
constexpr size_t kKindCount = std::size(kKinds);

}  // namespace

SavePlan SimulatedPlan(const Job& job, uint32_t rank) {
  const uint32_t per_stage = job.ranks / job.stages;
  const uint32_t stage = rank / per_stage, within = rank % per_stage;
  const int64_t parts = per_stage / job.replicas;
  const int64_t part = within % parts;
  SavePlan plan;
  plan.properties.resize(2);
  plan.properties[0].dtype = DType::kBFloat16;
  plan.properties[1].dtype = DType::kFloat32;
  plan.names.reserve(job.items);
  plan.items.reserve(job.items);
  plan.planner_data.reserve(job.items);
  for (uint32_t i = 0; i < job.items; ++i) {
    WriteItem item;
    item.source = item.name = i;
    if (i + 1 == job.items) {
      plan.names.push_back("epoch");
      plan.planner_data.emplace_back("epoch", Path{"epoch"});
      plan.items.push_back(item);
      break;
    }
    const size_t kind = i % kKindCount, role = i / kKindCount % 3;
    const std::string rest =
        fmt::format("layers.{}.{}", stage * 100 + i / (3 * kKindCount), kKinds[kind]);
    Path path{"model", rest};
    std::string name = "model." + rest;
    if (role > 0) {
      const std::string state = role == 1 ? "exp_avg" : "exp_avg_sq";
      name = fmt::format("optim.state.{}.{}", rest, state);
      path = {"optim", "state", rest, state};
    }
    item.properties = role == 0 ? 0 : 1;
    item.ndim = 2;
    item.box = static_cast<uint32_t>(plan.dims.size());
    if (role == 0 && kind == kKindCount - 1) {
      item.kind = WriteKind::kTensor;
      plan.dims.insert(plan.dims.end(), {0, 0, 1, kColumns, 1, kColumns});
    } else {
      item.kind = WriteKind::kShard;
      plan.dims.insert(plan.dims.end(),
                       {part * kRows, 0, kRows, kColumns, parts * kRows, kColumns});
    }
    item.global = item.box + 4;
    plan.items.push_back(item);
    plan.planner_data.emplace_back(name, std::move(path));
    plan.names.push_back(std::move(name));
  }
  return plan;
}

}  // namespace dcp::bench
