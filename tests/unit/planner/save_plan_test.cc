#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "planner/save_planner.h"
#include "planner/set_order.h"
#include "support/cmocka.h"
#include "unit/planner/layouts.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

struct PlanMaker {
  SavePlan plan;
  void Add(const std::string& name, WriteKind kind, const Shape& global = {},
           const OwnedBox& box = {}, DType dtype = DType::kFloat32) {
    WriteItem item;
    auto at = std::find(plan.names.begin(), plan.names.end(), name);
    item.name = static_cast<uint32_t>(at - plan.names.begin());
    if (at == plan.names.end()) plan.names.push_back(name);
    item.kind = kind;
    item.source = static_cast<uint32_t>(plan.items.size());
    if (kind != WriteKind::kBytes) {
      item.ndim = static_cast<uint8_t>(global.size());
      item.properties = static_cast<uint32_t>(plan.properties.size());
      plan.properties.emplace_back().dtype = dtype;
      item.global = static_cast<uint32_t>(plan.dims.size());
      plan.dims.insert(plan.dims.end(), global.begin(), global.end());
      item.box = static_cast<uint32_t>(plan.dims.size());
      plan.dims.insert(plan.dims.end(), box.offsets.begin(), box.offsets.end());
      plan.dims.insert(plan.dims.end(), box.sizes.begin(), box.sizes.end());
    }
    plan.items.push_back(item);
  }
  void Tensor(const std::string& name, const Shape& size, DType dtype = DType::kFloat32) {
    Add(name, WriteKind::kTensor, size, {Shape(size.size(), 0), size}, dtype);
  }
  void Data(const std::string& name, const std::string& element) {
    plan.planner_data.emplace_back(name, Path{element});
  }
};

// ---- a model of upstream's planner, written for plainness

struct ModelKey {
  std::string name;
  std::optional<Shape> offset;
  auto operator<=>(const ModelKey&) const = default;
};

ModelKey KeyOf(const SavePlan& plan, const WriteItem& item) {
  if (item.kind == WriteKind::kBytes) return {plan.names[item.name], std::nullopt};
  Dims offsets = plan.box(item).offsets;
  return {plan.names[item.name], Shape(offsets.begin(), offsets.end())};
}

std::vector<std::vector<WriteItem>> ModelDedup(const std::vector<SavePlan>& plans, bool lowest) {
  std::vector<ModelKey> order;
  std::map<ModelKey, std::set<size_t>> ranks;
  std::map<ModelKey, uint64_t> cost;
  for (size_t r = 0; r < plans.size(); ++r) {
    for (const WriteItem& item : plans[r].items) {
      ModelKey key = KeyOf(plans[r], item);
      if (ranks[key].empty()) order.push_back(key);
      ranks[key].insert(r);
      uint64_t bytes = 0;
      if (item.kind != WriteKind::kBytes) {
        bytes = static_cast<uint64_t>(*NumElements(plans[r].global_size(item)) *
                                      DTypeSize(plans[r].properties[item.properties].dtype));
      }
      cost[key] = bytes ? bytes : 1;
    }
  }
  std::map<ModelKey, size_t> writer;
  std::vector<uint64_t> load(plans.size(), 0);
  SetOrder set_order;
  for (const ModelKey& key : order) {
    const std::vector<uint32_t> holders(ranks[key].begin(), ranks[key].end());
    size_t best = holders[0];
    if (!lowest) {
      const auto walked = set_order.Of(holders);
      best = *std::min_element(walked.begin(), walked.end(),
                               [&](uint32_t a, uint32_t b) { return load[a] < load[b]; });
    }
    load[best] += cost[key];
    writer[key] = best;
  }
  std::vector<std::vector<WriteItem>> out(plans.size());
  for (size_t r = 0; r < plans.size(); ++r) {
    for (const WriteItem& item : plans[r].items) {
      if (writer[KeyOf(plans[r], item)] == r) out[r].push_back(item);
    }
  }
  return out;
}

std::string CompareWithModel(const std::vector<SavePlan>& plans, bool lowest) {
  GlobalPlanOptions options;
  options.dedup_to_lowest_rank = lowest;
  Result<GlobalSavePlan> global = CreateGlobalSavePlan(plans, options);
  CHECK_OK(global);
  std::vector<std::vector<WriteItem>> expected = ModelDedup(plans, lowest);
  std::vector<std::string> names;
  std::map<std::string, uint32_t> chunks;
  for (size_t r = 0; r < plans.size(); ++r) {
    const SavePlan& plan = global->ranks[r];
    CHECK_THAT(plan.items.size() == expected[r].size());
    CHECK_THAT(global->slots[r].size() == expected[r].size());
    for (size_t i = 0; i < plan.items.size(); ++i) {
      const WriteItem& item = plan.items[i];
      CHECK_THAT(item.source == expected[r][i].source);
      const std::string& name = plan.names[item.name];
      if (chunks[name] == 0) names.push_back(name);
      auto slot = global->slots[r][i];
      const Entry& entry = global->metadata.entries[slot.entry];
      CHECK_THAT(entry.name == name);
      CHECK_THAT(slot.chunk == chunks[name]++);
      if (item.kind == WriteKind::kBytes) continue;
      Box want = plan.box(item), have = entry.chunk(slot.chunk);
      CHECK_THAT(std::equal(want.offsets.begin(), want.offsets.end(), have.offsets.begin()));
      CHECK_THAT(std::equal(want.sizes.begin(), want.sizes.end(), have.sizes.begin()));
    }
  }
  CHECK_THAT(names.size() == global->metadata.entries.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const Entry& entry = global->metadata.entries[i];
    CHECK_THAT(entry.name == names[i]);
    CHECK_THAT(entry.chunk_count() == chunks[names[i]]);
    CHECK_THAT(global->metadata.Find(names[i]) == i);
    for (const Location& location : entry.locations) CHECK_THAT(location.missing());
  }
  return {};
}

std::string AgreesWithTheModel() {
  uint64_t seed = std::random_device()();
  print_message("seed %lu\n", static_cast<unsigned long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    size_t ranks = 1 + random() % 9;
    std::vector<PlanMaker> makers(ranks);
    for (int n = 0; n < 30; ++n) {
      std::string name = fmt::format("n{}", n);
      Shape size;
      for (size_t d = random() % 4; d > 0; --d) size.push_back(random() % 20);
      size_t kind = random() % 3;
      if (kind == 2) {
        // Chunks, each held by one rank or by several.
        if (size.empty()) size = {5};
        for (const OwnedBox& box : RandomCuts(size, random() % 12, random)) {
          size_t first = random() % ranks, copies = 1 + random() % ranks;
          for (size_t c = 0; c < copies; ++c) {
            makers[(first + c) % ranks].Add(name, WriteKind::kShard, size, box);
          }
        }
        continue;
      }
      DType dtype = random() % 2 ? DType::kBFloat16 : DType::kFloat64;
      size_t holders = random() % 4 == 0 ? 1 + random() % ranks : ranks;
      for (size_t r = 0; r < holders; ++r) {
        if (kind == 0) {
          makers[r].Tensor(name, size, dtype);
        } else {
          makers[r].Add(name, WriteKind::kBytes);
        }
      }
    }
    std::vector<SavePlan> plans;
    for (PlanMaker& maker : makers) plans.push_back(std::move(maker.plan));
    for (bool lowest : {false, true}) {
      std::string problem = CompareWithModel(plans, lowest);
      if (!problem.empty()) return fmt::format("round {}: {}", round, problem);
    }
  }
  return {};
}

// Four ranks hold the same four items: 4 KiB, 2 KiB, an object, 1 KiB.
std::string SpreadsReplicas() {
  PlanMaker maker;
  maker.Tensor("a", {1024});
  maker.Tensor("b", {512});
  maker.Add("c", WriteKind::kBytes);
  maker.Tensor("d", {256});
  Result<GlobalSavePlan> global =
      CreateGlobalSavePlan(std::vector<SavePlan>(3, maker.plan), GlobalPlanOptions());
  CHECK_OK(global);
  auto names = [&](size_t r) {
    std::string out;
    for (const WriteItem& item : global->ranks[r].items) out += global->ranks[r].names[item.name];
    return out;
  };
  CHECK_THAT(names(0) == "a" && names(1) == "b" && names(2) == "cd");
  CHECK_THAT(global->metadata.entries[2].kind == EntryKind::kBytes);
  return {};
}

std::string MergesPlannerDataAsChainMap() {
  std::vector<PlanMaker> makers(3);
  makers[0].Data("x", "first");
  makers[1].Data("x", "second");
  makers[1].Data("y", "second");
  makers[2].Data("z", "third");
  makers[2].Data("y", "third");
  std::vector<SavePlan> plans;
  for (PlanMaker& maker : makers) plans.push_back(maker.plan);
  Result<GlobalSavePlan> global = CreateGlobalSavePlan(plans, GlobalPlanOptions());
  CHECK_OK(global);
  std::vector<std::pair<std::string, Path>> expected = {
      {"z", {std::string("third")}}, {"y", {std::string("second")}}, {"x", {std::string("first")}}};
  CHECK_THAT(global->metadata.planner_data == expected);
  for (SavePlan& plan : plans) plan.flattened = false;
  Result<GlobalSavePlan> flat = CreateGlobalSavePlan(plans, GlobalPlanOptions());
  CHECK_OK(flat);
  CHECK_THAT(!flat->metadata.planner_data);
  return {};
}

Result<GlobalSavePlan> Plan(std::vector<PlanMaker> makers, bool dedup = true) {
  std::vector<SavePlan> plans;
  for (PlanMaker& maker : makers) plans.push_back(maker.plan);
  GlobalPlanOptions options;
  options.dedup = dedup;
  return CreateGlobalSavePlan(plans, options);
}

bool Says(const Result<GlobalSavePlan>& result, std::string_view text) {
  return result.status().code() == Code::kInvalidArgument &&
         result.status().message().find(text) != std::string::npos;
}

std::string RefusesDisagreement() {
  std::vector<PlanMaker> two(2);
  two[0].Tensor("t", {4});
  two[1].Add("t", WriteKind::kBytes);
  CHECK_THAT(Says(Plan(two),
                  "item.index.fqn not in md: t is a whole tensor on rank 0 and an "
                  "object on rank 1"));
  two[1] = PlanMaker();
  two[1].Tensor("t", {5});
  CHECK_THAT(Says(Plan(two), "t has size [4] on rank 0 and [5] on rank 1"));
  two[1] = PlanMaker();
  two[1].Add("t", WriteKind::kShard, {4}, {{2}, {2}});
  CHECK_THAT(Says(Plan(two), "key:t has overlapping chunks"));  // upstream joins the two
  std::swap(two[0], two[1]);
  CHECK_THAT(Says(Plan(two), "t is a sharded tensor on rank 0 and a whole tensor on rank 1"));
  two[0] = PlanMaker();
  two[0].Tensor("t", {4});
  two[1] = PlanMaker();
  two[1].Tensor("t", {4});
  CHECK_OK(Plan(two));
  CHECK_THAT(Says(Plan(two, false), "item.index.fqn not in md: t"));
  return {};
}

std::string RefusesMalformedPlans() {
  PlanMaker good;
  good.Tensor("t", {4, 2});
  auto changed = [&](auto&& change) {
    PlanMaker maker = good;
    change(maker.plan.items[0]);
    return Plan({maker});
  };
  CHECK_THAT(Says(changed([](WriteItem& i) { i.name = 1; }), "malformed"));
  CHECK_THAT(Says(changed([](WriteItem& i) { i.box = 3; }), "malformed"));
  CHECK_THAT(Says(changed([](WriteItem& i) { i.box = 0xffffffff; }), "malformed"));
  CHECK_THAT(Says(changed([](WriteItem& i) { i.global = 5; }), "malformed"));
  CHECK_THAT(Says(changed([](WriteItem& i) { i.properties = 1; }), "malformed"));
  CHECK_THAT(Says(changed([](WriteItem& i) { i.ndim = 200; }), "malformed"));
  CHECK_THAT(Says(changed([](WriteItem& i) { i.kind = static_cast<WriteKind>(9); }), "malformed"));
  CHECK_OK(changed([](WriteItem&) {}));
  return {};
}

Result<GlobalSavePlan> Shards(Shape size, std::vector<OwnedBox> boxes, size_t ranks) {
  std::vector<PlanMaker> makers(ranks);
  for (size_t i = 0; i < boxes.size(); ++i) {
    makers[i % ranks].Add("t", WriteKind::kShard, size, boxes[i]);
  }
  return Plan(makers);
}

std::string ValidatesAsUpstream() {
  CHECK_OK(Shards({4, 4}, Grid({4, 4}, {2, 2}), 2));
  CHECK_OK(Shards({3}, {{{0}, {1}}, {{1}, {1}}, {{2}, {1}}, {{3}, {0}}}, 4));
  Result<GlobalSavePlan> outside = Shards({4}, {{{0}, {2}}, {{2}, {3}}}, 1);
  CHECK_THAT(outside.status().message() ==
             "Failed to validate global plan: key:t has out of bounds chunk: "
             "tensor-size:torch.Size([4]) chunk: ChunkStorageMetadata(offsets=torch.Size([2]), "
             "sizes=torch.Size([3]))");
  Result<GlobalSavePlan> overlap = Shards({4}, {{{0}, {3}}, {{2}, {2}}}, 1);
  CHECK_THAT(Says(overlap,
                  "key:t has overlapping chunks: ChunkStorageMetadata(offsets=torch.Size([2]), "
                  "sizes=torch.Size([2])) ChunkStorageMetadata(offsets=torch.Size([0])"));
  CHECK_OK(Shards({4}, {{{0}, {2}}}, 1));  // one rank need not hold all
  CHECK_THAT(
      Says(Shards({4}, {{{0}, {2}}}, 2), "key:t invalid fill tensor-volume: 4 chunks-volume: 2"));
  // An empty chunk overlaps what it lies inside of, and nothing at its edges.
  CHECK_OK(Shards({4}, {{{0}, {4}}, {{4}, {0}}}, 2));
  CHECK_OK(Shards({4}, {{{0}, {2}}, {{2}, {0}}, {{2}, {2}}}, 1));
  CHECK_THAT(Says(Shards({4}, {{{0}, {4}}, {{2}, {0}}}, 2), "key:t has overlapping chunks"));
  CHECK_THAT(Says(Shards({4, 4}, {{{0, 0}, {4, 4}}, {{1, 1}, {0, 2}}}, 2), "overlapping chunks"));
  CHECK_THAT(Says(Shards({4}, {{{-1}, {2}}}, 1), "out of bounds"));
  CHECK_THAT(Says(Shards({4}, {{{INT64_MAX}, {2}}}, 1), "out of bounds"));
  CHECK_THAT(Says(Shards({INT64_MAX, 4}, {{{0, 0}, {1, 1}}}, 1), "more than 2^63 elements"));
  CHECK_OK(Shards({}, {{{}, {}}}, 3));
  // Thousands of problems stay a short text.
  Result<GlobalSavePlan> many = Shards({4}, std::vector<OwnedBox>(3000, {{5}, {1}}), 1);
  CHECK_THAT(Says(many, "... (truncated)") && many.status().message().size() < 600);
  return {};
}

std::string FindsEveryOverlap() {
  uint64_t seed = std::random_device()();
  print_message("seed %lu\n", static_cast<unsigned long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    Shape size;
    for (size_t d = 1 + random() % 3; d > 0; --d) size.push_back(1 + random() % 12);
    std::vector<OwnedBox> boxes = RandomCuts(size, random() % 30, random);
    if (random() % 2) boxes.push_back(RandomBox(size, random, true));
    size_t overlaps = 0;
    int64_t volume = 0;
    for (size_t i = 0; i < boxes.size(); ++i) {
      volume += *NumElements(boxes[i].sizes);
      for (size_t j = 0; j < i; ++j) {
        overlaps += Overlap(boxes[i], boxes[j]);
      }
    }
    Metadata metadata;
    metadata.entries.push_back(TensorEntry("t", size, boxes));
    size_t expected = overlaps + (volume != *NumElements(size));
    CHECK_THAT(ValidateEntries(metadata, true).size() == expected);
    CHECK_THAT(ValidateEntries(metadata, false).size() == overlaps);
  }
  return {};
}

std::string LocalPlanOfLeaves() {
  Tensor whole = *Tensor::Allocate(DType::kInt16, Shape{2, 3});
  whole.requires_grad = true;
  ShardedTensor sharded;
  sharded.dtype = DType::kBFloat16;
  sharded.global_shape = {10};
  sharded.shards.push_back({{2}, *Tensor::Allocate(DType::kBFloat16, Shape{3})});
  sharded.shards.push_back({{7}, *Tensor::Allocate(DType::kBFloat16, Shape{1})});
  ShardedTensor elsewhere;
  elsewhere.global_shape = {4};
  std::vector<FlatLeaf> leaves = {
      {"whole", {std::string("whole")}, Value::Of(whole)},
      {"sharded", {std::string("sharded")}, Value::Of(sharded)},
      {"elsewhere", {std::string("elsewhere")}, Value::Of(elsewhere)},
      {"step", {std::string("step")}, Value::Int(3)},
  };
  SavePlan plan = CreateLocalSavePlan(leaves, true);
  std::vector<Source> sources = LocalSources(leaves);
  CHECK_THAT(plan.items.size() == 4 && sources.size() == 4);
  for (uint32_t i = 0; i < 4; ++i) CHECK_THAT(plan.items[i].source == i);
  CHECK_THAT(plan.items[0].kind == WriteKind::kTensor);
  CHECK_THAT(plan.properties[plan.items[0].properties].requires_grad);
  CHECK_THAT(std::ranges::equal(plan.global_size(plan.items[0]), Shape{2, 3}));
  CHECK_THAT(std::ranges::equal(plan.box(plan.items[0]).sizes, Shape{2, 3}));
  CHECK_THAT(plan.items[2].kind == WriteKind::kShard && sources[2].shard == 1);
  CHECK_THAT(std::ranges::equal(plan.box(plan.items[2]).offsets, Shape{7}));
  CHECK_THAT(std::ranges::equal(plan.global_size(plan.items[2]), Shape{10}));
  CHECK_THAT(plan.items[3].kind == WriteKind::kBytes && sources[3].leaf == 3);
  CHECK_THAT(plan.planner_data.size() == 4 && plan.planner_data[2].first == "elsewhere");
  CHECK_THAT(CreateLocalSavePlan(leaves, false).planner_data.empty());
  Result<GlobalSavePlan> global = CreateGlobalSavePlan({plan}, GlobalPlanOptions());
  CHECK_OK(global);
  CHECK_THAT(global->metadata.entries.size() == 3);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(AgreesWithTheModel),          DCP_CHECKED(SpreadsReplicas),
      DCP_CHECKED(MergesPlannerDataAsChainMap), DCP_CHECKED(RefusesDisagreement),
      DCP_CHECKED(RefusesMalformedPlans),       DCP_CHECKED(ValidatesAsUpstream),
      DCP_CHECKED(FindsEveryOverlap),           DCP_CHECKED(LocalPlanOfLeaves),
  };
  return cmocka_run_group_tests_name("planner/save_plan", tests, nullptr, nullptr);
}
