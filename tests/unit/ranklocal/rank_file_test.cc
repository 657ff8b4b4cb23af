// One file a rank: what is written, in which order, and what is read back.
#include <atomic>
#include <cstring>
#include <thread>

#include "comm/local.h"
#include "ranklocal/rank_reader.h"
#include "ranklocal/rank_writer.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/sample_state.h"

namespace dcp {
namespace {

using Lines = std::vector<std::string>;

const std::shared_ptr<const Engine> kEngine = std::make_shared<Engine>();

ValuePtr State(uint64_t seed) {
  return DictOf(
      {{"model", DictOf({{"weight", Value::Of(PatternTensor(DType::kFloat32, {10, 5}, seed))},
                         {"bias", Value::Of(PatternTensor(DType::kFloat32, {5}, seed + 1))}})},
       {"groups", Value::Sequence(ValueKind::kList,
                                  {DictOf({{"lr", Value::Float(0.01)}}),
                                   Value::Of(PatternTensor(DType::kInt64, {3}, seed + 2))})},
       {"epoch", Value::Int(5)}});
}

class Recording final : public CommitHook {
 public:
  Status PreCommit(const std::string& path, const ValuePtr& extra) override {
    lines.push_back("pre " + path + " " + (extra == nullptr ? "-" : extra->text));
    return fail_pre;
  }
  Status PostCommit(const std::string& path, const ValuePtr&) override {
    lines.push_back("post " + path);
    return Status::Ok();
  }
  Lines lines;
  Status fail_pre;
};

class CountingBarrier final : public Barrier {
 public:
  explicit CountingBarrier(Recording* hook) : hook_(*hook) {}
  Status Execute(Silence timeout) override {
    hook_.lines.push_back(fmt::format("barrier {}", timeout.count()));
    return outcome;
  }
  Status outcome;

 private:
  Recording& hook_;
};

std::string HooksAndBarrierInOrder() {
  std::shared_ptr<Store> inner = NewMemoryStore();
  FaultStore store(inner);
  auto hook = std::make_shared<Recording>();
  auto barrier = std::make_shared<CountingBarrier>(hook.get());
  RankWriterOptions options;
  options.rank = 2;
  options.world_size = 4;
  options.barrier_timeout_ms = 300000;
  auto writer = RankWriter::New(options, barrier, hook, kEngine);
  CHECK_OK(writer);
  CHECK_OK((*writer)->Write(store, *State(1), Value::String("value")));
  const std::string at(store.location());
  CHECK_THAT((hook->lines == Lines{"pre " + at + " value", "barrier 300000", "post " + at}));
  const Lines calls = store.Lines();
  CHECK_THAT(calls.size() > 3);
  CHECK_THAT(calls.back() == "sync_folder");  // durable before pre_commit
  CHECK_THAT(calls[calls.size() - 2] == "rename checkpoint_2.pt.tmp checkpoint_2.pt");
  CHECK_THAT((*inner->List() == Lines{"checkpoint_2.pt"}));

  // What fails ends it.
  hook->lines.clear();
  barrier->outcome = Status(Code::kTimeout, "rank 3 did not come");
  CHECK_CODE((*writer)->Write(store, *State(2), nullptr), Code::kTimeout);
  CHECK_THAT((hook->lines == Lines{"pre " + at + " -", "barrier 300000"}));
  hook->lines.clear();
  hook->fail_pre = Status(Code::kCallback, "no");
  CHECK_CODE((*writer)->Write(store, *State(2), nullptr), Code::kCallback);
  CHECK_THAT((hook->lines == Lines{"pre " + at + " -"}));

  // A write that fails leaves the older file.
  hook->fail_pre = Status();
  hook->lines.clear();
  for (const char* line : {"make_root", "create", "write", "finish", "rename"}) {
    store.FailLine(line, Status(Code::kIo, "no disk"));
    CHECK_CODE((*writer)->Write(store, *State(3), nullptr), Code::kIo);
    CHECK_THAT(hook->lines.empty());
    store.Heal();
    auto read = ReadRankFile(*inner, 2);
    CHECK_OK(read);
    CHECK_THAT(Equal(**read, *State(2)));
    CHECK_THAT((*inner->List() == Lines{"checkpoint_2.pt"}));
  }
  (*writer)->Close();
  (*writer)->Close();
  CHECK_CODE((*writer)->Write(store, *State(1), nullptr), Code::kInvalidArgument);
  CHECK_CODE(RankWriter::New({4, 4}, nullptr, nullptr, kEngine), Code::kInvalidArgument);
  return {};
}

std::string WithoutHookAndBarrier() {
  std::unique_ptr<Store> store = NewMemoryStore();
  auto writer = RankWriter::New({}, nullptr, nullptr, kEngine);
  CHECK_OK(writer);
  CHECK_OK((*writer)->Write(*store, *State(7), nullptr));
  auto read = ReadRankFile(*store, 0);
  CHECK_OK(read);
  CHECK_THAT(Equal(**read, *State(7)));
  auto none = ReadRankFile(*store, 1);
  CHECK_CODE(none, Code::kNotFound);
  CHECK_THAT(none.status().message().starts_with("Checkpoint file not found at "));
  return {};
}

// A barrier that ignores its time is left behind.
std::string ABarrierThatHangs() {
  class Hanging final : public Barrier {
   public:
    explicit Hanging(std::atomic<bool>* go) : go_(*go) {}
    Status Execute(Silence) override {
      while (!go_.load()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return Status::Ok();
    }

   private:
    std::atomic<bool>& go_;
  };
  static std::atomic<bool> go{false};
  std::unique_ptr<Store> store = NewMemoryStore();
  auto hook = std::make_shared<Recording>();
  RankWriterOptions options;
  options.barrier_timeout_ms = 100;
  auto writer = RankWriter::New(options, std::make_shared<Hanging>(&go), hook, kEngine);
  CHECK_OK(writer);
  CHECK_CODE((*writer)->Write(*store, *State(1), nullptr), Code::kTimeout);
  CHECK_THAT(hook->lines.size() == 1);
  go = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return {};
}

std::string RanksThatDoNotComeAreNamed() {
  std::unique_ptr<Store> store = NewMemoryStore();
  std::vector<std::unique_ptr<Communicator>> comms = NewLocalCommunicators(3);
  std::vector<Status> statuses(3);
  std::vector<std::thread> threads;
  std::vector<std::shared_ptr<Recording>> hooks(3);
  for (int32_t rank = 0; rank < 3; ++rank) {
    hooks[static_cast<size_t>(rank)] = std::make_shared<Recording>();
    if (rank == 1) continue;
    threads.emplace_back([&, rank] {
      const auto i = static_cast<size_t>(rank);
      RankWriterOptions options;
      options.rank = rank;
      options.world_size = 3;
      options.barrier_timeout_ms = 1000;
      auto barrier = NewCommunicatorBarrier(std::shared_ptr<Communicator>(std::move(comms[i])));
      auto writer = RankWriter::New(options, barrier, hooks[i], kEngine);
      statuses[i] = (*writer)->Write(*store, *State(1), nullptr).status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const size_t i : {size_t{0}, size_t{2}}) {
    CHECK_CODE(statuses[i], Code::kTimeout);
    CHECK_THAT(statuses[i].rank_failures().size() == 1);
    CHECK_THAT(statuses[i].rank_failures()[0].rank == 1);
    CHECK_THAT(hooks[i]->lines.size() == 1);  // no post_commit
  }
  return {};
}

std::string IntoATarget() {
  std::unique_ptr<Store> store = NewMemoryStore();
  auto writer = RankWriter::New({}, nullptr, nullptr, kEngine);
  CHECK_OK((*writer)->Write(*store, *State(3), nullptr));
  // Part of the keys, one that is not there, a tensor with strides, a place for whatever there is.
  Tensor wide = *Tensor::Allocate(DType::kFloat32, Shape{5, 10});
  Tensor transposed = wide;
  transposed.shape = {10, 5};
  transposed.strides = {1, 10};
  ValuePtr target =
      DictOf({{"model", DictOf({{"weight", Value::Of(transposed)}, {"more", Value::Int(1)}})},
              {"groups", Value::None()}});
  auto read = ReadRankFileInto(*store, 0, target);
  CHECK_OK(read);
  CHECK_THAT((read->missing == Lines{"model.more"}));
  CHECK_THAT(EqualElements(transposed, PatternTensor(DType::kFloat32, {10, 5}, 3)));
  const Value& state = *read->state;
  CHECK_THAT(state.entries.size() == 2);
  const ValuePtr whole = State(3);
  CHECK_THAT(Equal(*state.entries[1].second, *whole->entries[1].second));

  ValuePtr other =
      DictOf({{"model", DictOf({{"bias", Value::Of(PatternTensor(DType::kFloat32, {6}, 1))}})}});
  auto refused = ReadRankFileInto(*store, 0, other);
  CHECK_CODE(refused, Code::kMismatch);
  CHECK_THAT(refused.status().message().find(
                 "Target tensor size=torch.Size([6]) dtype=torch.float32 does not match source "
                 "tensor size=torch.Size([5]) dtype=torch.float32 for key model.bias") !=
             std::string::npos);
  refused = ReadRankFileInto(*store, 0, DictOf({{"epoch", Value::String("five")}}));
  CHECK_CODE(refused, Code::kMismatch);
  CHECK_THAT(refused.status().message().find(
                 "Target value epoch is set to <class 'str'>, but source value is <class 'int'>") !=
             std::string::npos);
  return {};
}

// Tensors on one storage, inside tuples, empty ones.
std::string SharedAndNestedTensors() {
  std::unique_ptr<Store> store = NewMemoryStore();
  const Tensor base = PatternTensor(DType::kInt32, {8, 4}, 9);
  const Tensor upper = base.Slice(std::vector<int64_t>{0, 0}, std::vector<int64_t>{3, 4});
  const Tensor column = base.Slice(std::vector<int64_t>{0, 1}, std::vector<int64_t>{8, 1});
  const ValuePtr state =
      DictOf({{"upper", Value::Of(upper)},
              {"column", Value::Of(column)},
              {"empty", Value::Of(*Tensor::Allocate(DType::kFloat64, Shape{0, 3}))},
              {"pair", Value::Sequence(ValueKind::kTuple, {Value::Int(1), Value::Of(base)})}});
  auto writer = RankWriter::New({}, nullptr, nullptr, kEngine);
  CHECK_OK((*writer)->Write(*store, *state, nullptr));
  for (const bool with_pair : {false, true}) {
    Tensor into_upper = *Tensor::Allocate(DType::kInt32, Shape{3, 4});
    Tensor into_column = *Tensor::Allocate(DType::kInt32, Shape{8, 1});
    std::vector<std::pair<std::string, ValuePtr>> entries = {
        {"column", Value::Of(into_column)},
        {"empty", Value::Of(*Tensor::Allocate(DType::kFloat64, Shape{0, 3}))},
        {"upper", Value::Of(into_upper)}};
    if (with_pair) entries.emplace_back("pair", Value::None());
    auto read = ReadRankFileInto(*store, 0, DictOf(std::move(entries)));
    CHECK_OK(read);
    CHECK_THAT(EqualElements(into_upper, upper) && EqualElements(into_column, column));
    if (!with_pair) continue;
    const Value& pair = *read->state->entries[3].second;
    CHECK_THAT(pair.kind == ValueKind::kTuple && EqualElements(pair.items[1]->tensor, base));
  }
  return {};
}

class FakeDevice final : public DeviceCopier {
 public:
  bool Handles(Device device) const override { return device.type == 2; }
  Status ToHost(Device, const void* from, MutableBytes to) override {
    std::memcpy(to.data(), from, to.size());
    ++copies;
    return Status::Ok();
  }
  Status ToDevice(Device, Bytes, void*) override { return Status(Code::kInternal, "not here"); }
  std::atomic<int> copies{0};
};

std::string TensorsOnDevices() {
  std::unique_ptr<Store> store = NewMemoryStore();
  Tensor tensor = PatternTensor(DType::kFloat32, {300, 40}, 5);
  tensor.device = {2, 0};
  const ValuePtr state = DictOf({{"weight", Value::Of(tensor)}});
  auto without = RankWriter::New({}, nullptr, nullptr, kEngine);
  CHECK_CODE((*without)->Write(*store, *state, nullptr), Code::kUnsupported);
  CHECK_THAT(store->List()->empty());
  auto device = std::make_shared<FakeDevice>();
  auto engine = std::make_shared<Engine>();
  engine->copier = device;
  auto with = RankWriter::New({}, nullptr, nullptr, engine);
  CHECK_OK((*with)->Write(*store, *state, nullptr));
  CHECK_THAT(device->copies > 0);
  auto read = ReadRankFile(*store, 0);
  CHECK_OK(read);
  const Tensor expected = PatternTensor(DType::kFloat32, {300, 40}, 5);
  CHECK_THAT(EqualElements((*(*read)->Find("weight"))->tensor, expected));
  CHECK_CODE(ReadRankFileInto(*store, 0, state), Code::kUnsupported);
  return {};
}

std::string DamageIsFound() {
  std::unique_ptr<Store> store = NewMemoryStore();
  auto writer = RankWriter::New({}, nullptr, nullptr, kEngine);
  CHECK_OK((*writer)->Write(*store, *State(4), nullptr));
  auto whole = ReadWholeFile(*store, "checkpoint_0.pt", 1 << 20);
  CHECK_OK(whole);
  for (size_t at = 0; at < whole->size(); at += 7) {
    std::string changed = *whole;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    CHECK_OK(WriteWholeFile(*store, "checkpoint_0.pt", AsBytes(changed), false));
    auto read = ReadRankFile(*store, 0);
    auto into = ReadRankFileInto(*store, 0, State(0));
    // Padding and the archive's own id are in no checksum that matters.
    if (read.ok()) CHECK_THAT(Equal(**read, *State(4)));
    if (into.ok()) CHECK_THAT(Equal(*into->state, *State(4)));
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(HooksAndBarrierInOrder),
      DCP_CHECKED(WithoutHookAndBarrier),
      DCP_CHECKED(ABarrierThatHangs),
      DCP_CHECKED(RanksThatDoNotComeAreNamed),
      DCP_CHECKED(IntoATarget),
      DCP_CHECKED(SharedAndNestedTensors),
      DCP_CHECKED(TensorsOnDevices),
      DCP_CHECKED(DamageIsFound),
  };
  return cmocka_run_group_tests_name("ranklocal/rank_file", tests, nullptr, nullptr);
}
