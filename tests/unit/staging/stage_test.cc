#include "staging/stage.h"

#include "support/checks.h"
#include "support/sample_state.h"

namespace dcp {
namespace {

Tensor View(const Tensor& base, int64_t first, Shape shape, Shape strides) {
  Tensor view = base;
  view.data = base.data + first * DTypeSize(base.dtype);
  view.shape = std::move(shape);
  view.strides = std::move(strides);
  return view;
}

const Tensor& At(const ValuePtr& dict, std::string_view name) {
  return (*dict->Find(name))->tensor;
}

std::string CopiesAreEqualAndTheirOwn() {
  Engine engine;
  ValuePtr state = SampleState(5, 4000);
  ValuePtr same = SampleState(5, 4000);
  auto staged = Stage(*state, engine, nullptr);
  CHECK_OK(staged);
  Tensor weight = (*(*state->Find("model"))->Find("weight"))->tensor;
  for (int64_t i = 0; i < weight.num_bytes(); ++i) weight.data[i] = std::byte{0x55};
  CHECK_THAT(!Equal(*state, *same));
  CHECK_THAT(Equal(**staged, *same));
  // What holds no tensor is shared.
  CHECK_THAT(state->Find("name")->get() == (*staged)->Find("name")->get());
  return {};
}

std::string SharedBytesStayShared() {
  Engine engine;
  Tensor base = PatternTensor(DType::kFloat32, {8}, 1);
  ValuePtr state = DictOf({{"a", Value::Of(View(base, 0, {4}, {1}))},
                           {"b", Value::Of(View(base, 2, {6}, {1}))},
                           {"c", Value::Of(View(base, 0, {4}, {1}))},
                           {"apart", Value::Of(PatternTensor(DType::kFloat32, {8}, 2))}});
  auto staged = Stage(*state, engine, nullptr);
  CHECK_OK(staged);
  const Tensor &a = At(*staged, "a"), &b = At(*staged, "b"), &c = At(*staged, "c");
  CHECK_THAT(a.data != base.data);
  CHECK_THAT(b.data == a.data + 8);
  CHECK_THAT(c.data == a.data);
  const std::byte* apart = At(*staged, "apart").data;
  CHECK_THAT(apart >= a.data + 32 || apart + 32 <= a.data);
  CHECK_THAT(Equal(**staged, *state));
  return {};
}

std::string OnlyGapsChangeStrides() {
  Engine engine;
  Tensor base = PatternTensor(DType::kInt16, {40, 50}, 1);
  ValuePtr state = DictOf({
      {"transposed", Value::Of(View(PatternTensor(DType::kInt16, {4, 6}, 2), 0, {6, 4}, {1, 6}))},
      {"column", Value::Of(View(base, 7, {40, 1}, {50, 1}))},
      {"column again", Value::Of(View(base, 7, {40, 1}, {50, 1}))},
      {"rows", Value::Of(View(PatternTensor(DType::kInt16, {9}, 3), 0, {3, 9}, {0, 1}))},
      {"empty", Value::Of(*Tensor::Allocate(DType::kInt16, Shape{3, 0, 2}))},
  });
  auto staged = Stage(*state, engine, nullptr);
  CHECK_OK(staged);
  CHECK_THAT(Equal(**staged, *state));
  CHECK_THAT((At(*staged, "transposed").strides == Shape{1, 6}));
  CHECK_THAT((At(*staged, "rows").strides == Shape{0, 1}));
  CHECK_THAT((At(*staged, "column").strides == Shape{1, 1}));
  CHECK_THAT(At(*staged, "column").data == At(*staged, "column again").data);
  return {};
}

std::string EveryPlaceOfATensorIsFound() {
  Engine engine;
  ShardedTensor sharded;
  sharded.dtype = DType::kFloat32;
  sharded.global_shape = {6, 2};
  sharded.shards.push_back({{2, 0}, PatternTensor(DType::kFloat32, {2, 2}, 1)});
  sharded.shards.push_back({{4, 0}, PatternTensor(DType::kFloat32, {1, 2}, 2)});
  ValuePtr inner = Value::Of(PatternTensor(DType::kFloat32, {3}, 3));
  auto made = std::make_shared<Value>();
  made->kind = ValueKind::kConstructed;
  auto constructed = std::make_shared<Constructed>();
  constructed->global = "random.Random";
  constructed->arguments = Value::Sequence(ValueKind::kTuple, {inner, Value::Int(3)});
  made->constructed = constructed;
  ValuePtr state = DictOf({{"sharded", Value::Of(sharded)},
                           {"tuple", Value::Sequence(ValueKind::kTuple, {inner, inner})},
                           {"made", made}});
  auto staged = Stage(*state, engine, nullptr);
  CHECK_OK(staged);
  CHECK_THAT(Equal(**staged, *state));
  const ShardedTensor& copy = *(*(*staged)->Find("sharded"))->sharded;
  CHECK_THAT(copy.shards[1].tensor.data != sharded.shards[1].tensor.data);
  const std::vector<ValuePtr>& tuple = (*(*staged)->Find("tuple"))->items;
  CHECK_THAT(tuple[0] == tuple[1]);
  CHECK_THAT(tuple[0] != inner);
  CHECK_THAT((*(*staged)->Find("made"))->constructed->arguments->items[0] == tuple[0]);
  return {};
}

std::string AStateWithoutTensors() {
  Engine engine;
  ValuePtr state = DictOf({{"a", Value::Int(1)}, {"b", Value::None()}});
  auto staged = Stage(*state, engine, nullptr);
  CHECK_OK(staged);
  CHECK_THAT(Equal(**staged, *state));
  CHECK_THAT((*staged)->Find("a")->get() == state->Find("a")->get());
  return {};
}

// "Device" memory is host memory shifted by one bit.
class ShiftingCopier final : public DeviceCopier {
 public:
  bool Handles(Device device) const override { return device.type == 2; }
  Status ToHost(Device, const void* from, MutableBytes to) override {
    const std::byte* bytes = static_cast<const std::byte*>(from);
    for (size_t i = 0; i < to.size(); ++i) to[i] = bytes[i] << 1;
    return Status::Ok();
  }
  Status ToDevice(Device, Bytes, void*) override { return Status(Code::kInternal, "not here"); }
};

std::string DevicesNeedACopier() {
  Engine engine;
  Tensor tensor = PatternTensor(DType::kUInt8, {100}, 1);
  tensor.device = {2, 1};
  ValuePtr state =
      DictOf({{"model", DictOf({{"list", Value::Sequence(ValueKind::kList,
                                                         {Value::None(), Value::Of(tensor)})}})}});
  auto refused = Stage(*state, engine, nullptr);
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("'model.list.1'") != std::string::npos);
  CHECK_THAT(refused.status().message().find("2:1") != std::string::npos);
  engine.copier = std::make_shared<ShiftingCopier>();
  auto staged = Stage(*state, engine, nullptr);
  CHECK_OK(staged);
  const Tensor& copy = (*(*(*staged)->Find("model"))->Find("list"))->items[1]->tensor;
  CHECK_THAT(copy.device.is_cpu());
  for (int i = 0; i < 100; ++i) CHECK_THAT(copy.data[i] == tensor.data[i] << 1);
  return {};
}

struct Recorder final : ProgressSink {
  Status Update(const ProgressEvent& event) override {
    last = event;
    return answer;
  }
  ProgressEvent last{};
  Status answer;
};

std::string ProgressIsToldAndMayStop() {
  Engine engine;
  Recorder recorder;
  CancelToken cancel;
  ValuePtr state = SampleState(1);
  {
    Progress progress(&recorder, cancel);
    CHECK_OK(Stage(*state, engine, &progress));
    CHECK_THAT(recorder.last.phase == ProgressPhase::kStage);
    CHECK_THAT(recorder.last.bytes_done == recorder.last.bytes_total);
    CHECK_THAT(recorder.last.items_done == 4);
  }
  {
    Progress progress(nullptr, cancel);
    cancel.Cancel();
    CHECK_CODE(Stage(*state, engine, &progress), Code::kCancelled);
  }
  recorder.answer = Status(Code::kCallback, "no more");
  Progress progress(&recorder, CancelToken());
  CHECK_CODE(Stage(*state, engine, &progress), Code::kCallback);
  return {};
}

std::string PoolsFollowTheBudget() {
  Engine engine;
  engine.memory_budget = 8 << 20;
  engine.EnsurePool();
  CHECK_THAT(engine.pool->buffer_size() * engine.pool->capacity() < 8 << 20);
  CHECK_THAT(engine.pool->capacity() >= 7);
  CHECK_THAT(engine.PoolOrNew() == engine.pool);
  Engine large;
  large.memory_budget = 1 << 30;
  CHECK_THAT(large.PoolOrNew()->buffer_size() == 2 << 20);
  Engine tiny;
  tiny.memory_budget = 0;
  CHECK_THAT(tiny.PoolOrNew()->capacity() >= 2);
  return {};
}

std::string AKeptArenaIsUsedAgain() {
  Engine engine;
  ArenaKeeper keeper;
  const ValuePtr state = DictOf({{"a", Value::Of(PatternTensor(DType::kFloat32, {1000}, 1))}});
  const ValuePtr larger = DictOf({{"a", Value::Of(PatternTensor(DType::kFloat32, {2000}, 2))}});
  const ValuePtr none = DictOf({{"a", Value::Int(1)}});
  auto first = Stage(*state, engine, nullptr, &keeper);
  CHECK_OK(first);
  const std::byte* at = At(*first, "a").data;
  // In use: others get memory of their own.
  auto second = Stage(*state, engine, nullptr, &keeper);
  CHECK_OK(second);
  const std::byte* other = At(*second, "a").data;
  CHECK_THAT(other != at);
  CHECK_THAT(Equal(**first, *state) && Equal(**second, *state));
  *second = nullptr;
  auto third = Stage(*state, engine, nullptr, &keeper);
  CHECK_OK(third);
  CHECK_THAT(At(*third, "a").data == other);
  *third = nullptr;
  // What holds no tensors changes nothing; what is larger gets more.
  CHECK_OK(Stage(*none, engine, nullptr, &keeper));
  auto grown = Stage(*larger, engine, nullptr, &keeper);
  CHECK_OK(grown);
  CHECK_THAT(Equal(**grown, *larger));
  at = At(*grown, "a").data;
  *grown = nullptr;
  auto smaller = Stage(*state, engine, nullptr, &keeper);
  CHECK_OK(smaller);
  CHECK_THAT(At(*smaller, "a").data == at);
  // Released while in use: it goes with its last user.
  keeper.Release();
  CHECK_THAT(Equal(**smaller, *state));
  auto fresh = Stage(*state, engine, nullptr, &keeper);
  CHECK_OK(fresh);
  CHECK_THAT(At(*fresh, "a").data != at);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::CopiesAreEqualAndTheirOwn>),
      cmocka_unit_test(dcp::Checked<dcp::SharedBytesStayShared>),
      cmocka_unit_test(dcp::Checked<dcp::OnlyGapsChangeStrides>),
      cmocka_unit_test(dcp::Checked<dcp::EveryPlaceOfATensorIsFound>),
      cmocka_unit_test(dcp::Checked<dcp::AStateWithoutTensors>),
      cmocka_unit_test(dcp::Checked<dcp::DevicesNeedACopier>),
      cmocka_unit_test(dcp::Checked<dcp::ProgressIsToldAndMayStop>),
      cmocka_unit_test(dcp::Checked<dcp::PoolsFollowTheBudget>),
      cmocka_unit_test(dcp::Checked<dcp::AKeptArenaIsUsedAgain>),
  };
  return cmocka_run_group_tests_name("staging/stage", tests, nullptr, nullptr);
}
