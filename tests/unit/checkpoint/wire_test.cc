#include "checkpoint/wire.h"

#include <functional>

#include "checkpoint/plan_wire.h"
#include "comm/pack.h"
#include "comm/wire_codec.h"
#include "metadata/codec.h"
#include "planner/save_planner.h"
#include "support/checks.h"
#include "support/sample_state.h"

namespace dcp {
namespace {

SavePlan SamplePlan() {
  ShardedTensor sharded;
  sharded.dtype = DType::kBFloat16;
  sharded.global_shape = {6, 2};
  sharded.requires_grad = true;
  sharded.shards.push_back({{2, 0}, PatternTensor(DType::kBFloat16, {2, 2}, 1)});
  sharded.shards.push_back({{4, 0}, PatternTensor(DType::kBFloat16, {1, 2}, 2)});
  std::vector<FlatLeaf> leaves = {
      {"model.layers.0.weight",
       {"model", "layers", int64_t{0}, "weight"},
       Value::Of(PatternTensor(DType::kFloat32, {3, 4}, 1))},
      {"model.layers.1.weight",
       {"model", "layers", int64_t{1}, "weight"},
       Value::Of(PatternTensor(DType::kFloat32, {3, 4}, 2))},
      {"sharded", {"sharded"}, Value::Of(sharded)},
      {"a.b", {"a.b"}, Value::Int(3)},
      {"odd", {"not", "the name", int64_t{-7}, ""}, Value::Int(4)},
      {"", {""}, Value::None()},
      {std::string("nul\0.\x01", 6),
       {std::string("nul\0", 4), "\x01"},
       Value::Of(PatternTensor(DType::kInt64, {}, 3))},
  };
  SavePlan plan = CreateLocalSavePlan(leaves, true);
  plan.storage_data = "of the writer";
  return plan;
}

// But for where plans keep their dims.
bool Same(const SavePlan& a, const SavePlan& b) {
  const auto equal = [](Dims x, Dims y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end());
  };
  auto same_item = [&](const WriteItem& x, const WriteItem& y) {
    if (x.name != y.name || x.kind != y.kind || x.source != y.source) return false;
    if (x.kind == WriteKind::kBytes) return true;
    return x.properties == y.properties && equal(a.global_size(x), b.global_size(y)) &&
           equal(a.box(x).offsets, b.box(y).offsets) && equal(a.box(x).sizes, b.box(y).sizes);
  };
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!same_item(a.items[i], b.items[i])) return false;
  }
  return a.names == b.names && a.properties == b.properties && a.planner_data == b.planner_data &&
         a.flattened == b.flattened && a.storage_data == b.storage_data;
}

std::string PlansTravel() {
  SavePlan plan = SamplePlan();
  auto decoded = DecodePlan(EncodePlan(plan));
  CHECK_OK(decoded);
  CHECK_THAT(Same(*decoded, plan));
  plan = SavePlan();
  plan.flattened = false;
  decoded = DecodePlan(EncodePlan(plan));
  CHECK_OK(decoded);
  CHECK_THAT(Same(*decoded, plan));
  return {};
}

std::string PlansAreSmall() {
  std::vector<FlatLeaf> leaves;
  for (int64_t i = 0; i < 1000; ++i) {
    FlatLeaf leaf;
    leaf.name = fmt::format("model.layers.{}.self_attention.projection.weight", i);
    leaf.path = {"model", "layers", i, "self_attention", "projection", "weight"};
    leaf.value = Value::Of(*Tensor::Borrow(DType::kFloat32, Shape{0, 4096}, {}, nullptr));
    leaves.push_back(std::move(leaf));
  }
  const SavePlan plan = CreateLocalSavePlan(leaves, true);
  std::string bytes = EncodePlan(plan);
  auto decoded = DecodePlan(bytes);
  CHECK_OK(decoded);
  CHECK_THAT(Same(*decoded, plan));
  CHECK_THAT(bytes.size() < 1000 * 64);  // stock's pickles take some 600 bytes an item
  return {};
}

SavePlan PlanOfRank(int64_t rank) {
  ShardedTensor sharded;
  sharded.dtype = DType::kFloat32;
  sharded.global_shape = {8, 3};
  sharded.shards.push_back({{2 * rank, 0}, PatternTensor(DType::kFloat32, {2, 3}, 1)});
  std::vector<FlatLeaf> leaves = {
      {"model.weight",
       {"model", "weight"},
       Value::Of(PatternTensor(rank == 3 ? DType::kInt64 : DType::kInt8, {5}, 1))},
      {"sharded", {"sharded"}, Value::Of(sharded)},
      {"list.0", {"list", int64_t{0}}, Value::Int(3)},
  };
  if (rank == 2) leaves.push_back({"of.rank.2", {"of.rank", int64_t{2}}, Value::Int(4)});
  return CreateLocalSavePlan(leaves, true);
}

// The receiver gives what CreateGlobalSavePlan gives of the same plans, names shared or not.
std::string ReceiverPlansAlike() {
  std::vector<SavePlan> plans;
  for (int64_t rank = 0; rank < 4; ++rank) plans.push_back(PlanOfRank(rank));
  PlanReceiver receiver;
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    if (rank == 1) {
      CHECK_OK(receiver.Add(plans[rank]));
      continue;
    }
    plans[rank].storage_data = std::to_string(rank);
    auto added = receiver.Add(EncodePlan(plans[rank]));
    CHECK_OK(added);
    CHECK_THAT(*added == std::to_string(rank));
  }
  auto received = receiver.Finish({});
  auto expected = CreateGlobalSavePlan(plans, {});
  CHECK_OK(received);
  CHECK_OK(expected);
  CHECK_THAT(received->items.size() == 4);
  size_t items = 0;
  for (size_t rank = 0; rank < 4; ++rank) {
    const std::vector<WriteItem>& planned = expected->ranks[rank].items;
    CHECK_THAT(received->items[rank].size() == planned.size());
    for (size_t i = 0; i < planned.size(); ++i, ++items) {
      const GlobalSavePlan::Slot a = received->slots[rank][i], b = expected->slots[rank][i];
      CHECK_THAT(received->items[rank][i] == planned[i].source);
      CHECK_THAT(a.entry == b.entry && a.chunk == b.chunk);
    }
  }
  CHECK_THAT(items == 7);  // one tensor, four shards, two objects
  const auto bytes = EncodeMetadata(received->metadata, Dialect::kDefault);
  CHECK_OK(bytes);
  CHECK_THAT(*bytes == *EncodeMetadata(expected->metadata, Dialect::kDefault));
  // Rank 2 once more: now two ranks hold its object, and the shards leave no room.
  PlanReceiver again;
  for (size_t rank : {0, 1, 2, 2}) CHECK_OK(again.Add(EncodePlan(plans[rank])));
  CHECK_CODE(again.Finish({}).status(), Code::kInvalidArgument);
  return {};
}

std::string OtherMessagesTravel() {
  Assignment assignment{"an id", "for the writer", {0, 1, 5, 4, SavePlan::kNoSource}, {}};
  auto assigned = DecodeAssignment(EncodeAssignment(assignment));
  CHECK_OK(assigned);
  CHECK_THAT(assigned->save_id == "an id" && assigned->storage_data == "for the writer");
  CHECK_THAT(assigned->sources == assignment.sources && !assigned->plan);
  // A planner's own plan travels whole, with the rank's sources.
  assignment.plan = SamplePlan();
  assignment.sources.assign(assignment.plan->items.size(), 7);
  assigned = DecodeAssignment(EncodeAssignment(assignment));
  CHECK_OK(assigned);
  CHECK_THAT(assigned->plan && assigned->plan->names == assignment.plan->names);
  for (const WriteItem& item : assigned->plan->items) CHECK_THAT(item.source == 7);
  assignment.sources.pop_back();
  CHECK_CODE(DecodeAssignment(EncodeAssignment(assignment)), Code::kCorrupt);

  OutcomeMessage outcome{
      "id", {{"__0_0.distcp", "__0_1.distcp"}, {{1, 5, 1ull << 40}, {0, 0, 7}}, 123456789012345}};
  auto told = DecodeOutcomeMessage(EncodeOutcomeMessage(outcome));
  CHECK_OK(told);
  CHECK_THAT(told->outcome.files == outcome.outcome.files);
  CHECK_THAT(told->outcome.bytes == 123456789012345);
  CHECK_THAT(told->outcome.items.size() == 2 && told->outcome.items[0].length == 1ull << 40);

  for (bool synced : {false, true}) {
    auto commit = DecodeCommitMessage(EncodeCommitMessage({synced}));
    CHECK_OK(commit);
    CHECK_THAT(commit->synced == synced);
  }

  std::vector<RankFailure> failures = {
      {3, "plan", Status(Code::kIo, "no disk").WithDetail("file", "x").WithDetail("errno", "5")},
      {0, "write", Status(Code::kCancelled, "")}};
  auto failed = UnpackFailures(PackFailures(failures));
  CHECK_OK(failed);
  CHECK_THAT(failed->size() == 2);
  CHECK_THAT((*failed)[0].rank == 3 && (*failed)[0].step == "plan");
  CHECK_THAT((*failed)[0].status.ToString() == failures[0].status.ToString());
  CHECK_THAT((*failed)[0].status.details() == failures[0].status.details());
  CHECK_THAT((*failed)[1].status.code() == Code::kCancelled);
  CHECK_CODE(UnpackFailures(PackFailures({})), Code::kCorrupt);
  return {};
}

using Decode = std::function<Status(std::string_view)>;

// Every truncation and every extension is refused; every changed byte is survived.
std::string Survives(const std::string& bytes, const Decode& decode) {
  CHECK_OK(decode(bytes));
  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK_CODE(decode(std::string_view(bytes).substr(0, size)), Code::kCorrupt);
  }
  CHECK_CODE(decode(bytes + '\0'), Code::kCorrupt);
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int change : {1, 0x80, 0xff, 0x7f}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ change);
      Status status = decode(changed);
      // What can be read may be no plan, and say so.
      if (status.code() != Code::kInvalidArgument && !status.ok()) {
        CHECK_CODE(status, Code::kCorrupt);
      }
    }
  }
  return {};
}

std::string DamagedMessagesAreRefused() {
  const std::pair<std::string, Decode> messages[] = {
      {EncodePlan(SamplePlan()), [](std::string_view bytes) { return DecodePlan(bytes).status(); }},
      {EncodePlan(SamplePlan()),
       [](std::string_view bytes) { return PlanReceiver().Add(bytes).status(); }},
      {EncodeAssignment({"id", "of the writer", {1, 2, 900}, {}}),
       [](std::string_view bytes) { return DecodeAssignment(bytes).status(); }},
      {EncodeOutcomeMessage({"id", {{"__0_0.distcp"}, {{0, 5, 6}}, 11}}),
       [](std::string_view bytes) { return DecodeOutcomeMessage(bytes).status(); }},
      {PackFailures({{1, "plan", Status(Code::kIo, "text").WithDetail("a", "b")}}),
       [](std::string_view bytes) { return UnpackFailures(bytes).status(); }},
  };
  for (const auto& [bytes, decode] : messages) {
    std::string wrong = Survives(bytes, decode);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string SharedPrefixesDoNotGrowWithoutEnd() {
  WireWriter writer;
  std::string name(100000, 'a');
  for (int i = 0; i < 2000; ++i) writer.Name(name);
  std::string bytes = writer.Take();
  WireReader reader(bytes);
  size_t read = 0;
  while (reader.ok() && read < 2000) read += reader.Name().empty() ? 0 : 1;
  CHECK_THAT(!reader.ok());
  CHECK_THAT(read > 0 && read < 2000);
  return {};
}

std::string NumbersAtTheirLimits() {
  const uint64_t numbers[] = {0, 127, 128, UINT32_MAX, INT64_MAX, UINT64_MAX};
  const int64_t signed_numbers[] = {0, -1, 1, 63, -64, 64, INT64_MAX, INT64_MIN};
  WireWriter writer;
  for (uint64_t number : numbers) writer.Number(number);
  for (int64_t number : signed_numbers) writer.Signed(number);
  std::string bytes = writer.Take();
  WireReader reader(bytes);
  for (uint64_t number : numbers) CHECK_THAT(reader.Number() == number);
  for (int64_t number : signed_numbers) CHECK_THAT(reader.Signed() == number);
  CHECK_THAT(reader.complete());
  WireReader too_long(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
  too_long.Number();
  CHECK_THAT(!too_long.ok());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::PlansTravel>),
      cmocka_unit_test(dcp::Checked<dcp::PlansAreSmall>),
      cmocka_unit_test(dcp::Checked<dcp::ReceiverPlansAlike>),
      cmocka_unit_test(dcp::Checked<dcp::OtherMessagesTravel>),
      cmocka_unit_test(dcp::Checked<dcp::DamagedMessagesAreRefused>),
      cmocka_unit_test(dcp::Checked<dcp::SharedPrefixesDoNotGrowWithoutEnd>),
      cmocka_unit_test(dcp::Checked<dcp::NumbersAtTheirLimits>),
  };
  return cmocka_run_group_tests_name("checkpoint/wire", tests, nullptr, nullptr);
}
