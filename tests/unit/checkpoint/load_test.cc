// Loading into what the caller has, and what is said of it.
#include "checkpoint/load.h"

#include <algorithm>

#include "checkpoint/save.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/sample_state.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

using Names = std::vector<std::string>;

const Status kBroken(Code::kIo, "the disk is on fire");

std::shared_ptr<Store> Saved(const Value& state, const SaveOptions& options = {}) {
  std::shared_ptr<Store> store = NewMemoryStore();
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  auto saved = Save(*store, *comm, state, options, Engine());
  return saved.ok() ? store : nullptr;
}

Result<LoadResult> LoadAlone(const Store& store, const Value& state,
                             const LoadOptions& options = {}) {
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  return Load(store, *comm, state, options, Engine());
}

ValuePtr Zeros(DType dtype, const Shape& shape) {
  Tensor tensor = PatternTensor(dtype, shape, 0);
  std::memset(tensor.data, 0, static_cast<size_t>(tensor.num_bytes()));
  return Value::Of(std::move(tensor));
}

std::string TheReportSaysWhatHappened() {
  std::shared_ptr<Store> store = Saved(*SampleState(3));
  CHECK_THAT(store != nullptr);
  ValuePtr weight = Zeros(DType::kFloat64, {40, 256});
  ValuePtr state =
      DictOf({{"model", DictOf({{"weight", weight}, {"more", Zeros(DType::kInt8, {2})}})},
              {"number", Value::None()}});
  CHECK_CODE(LoadAlone(*store, *state), Code::kNotFound);
  LoadOptions options;
  options.allow_partial = true;
  auto loaded = LoadAlone(*store, *state, options);
  CHECK_OK(loaded);
  Names names = loaded->report.loaded;
  std::sort(names.begin(), names.end());
  CHECK_THAT((names == Names{"model.weight", "number"}));
  CHECK_THAT(loaded->report.missing == Names{"model.more"});
  CHECK_THAT(loaded->report.unexpected.size() == 5);
  CHECK_THAT(loaded->report.cast == Names{"model.weight: float32 -> float64"});
  CHECK_THAT(loaded->report.uncovered.empty());
  CHECK_THAT(loaded->report.unverified_bytes == 0);
  CHECK_THAT(loaded->bytes_read >= 40 * 1024);
  CHECK_THAT(loaded->objects.size() == 1);
  CHECK_THAT(loaded->objects[0].first.name == "number");
  CHECK_THAT(Equal(*loaded->objects[0].second, *Value::Int(3)));
  options.allow_cast = false;
  CHECK_CODE(LoadAlone(*store, *state, options), Code::kMismatch);
  return {};
}

std::string WhatDoesNotFitIsRefused() {
  std::shared_ptr<Store> store = Saved(*SampleState(3));
  CHECK_THAT(store != nullptr);
  auto sized =
      LoadAlone(*store, *DictOf({{"model", DictOf({{"bias", Zeros(DType::kBFloat16, {18})}})}}));
  CHECK_CODE(sized, Code::kMismatch);
  CHECK_THAT(sized.status().message().find("Size mismatch") != std::string::npos);
  CHECK_CODE(LoadAlone(*store, *DictOf({{"number", Zeros(DType::kInt8, {})}})), Code::kMismatch);
  CHECK_CODE(LoadAlone(*store, *DictOf({{"model", DictOf({{"bias", Value::None()}})}})),
             Code::kMismatch);
  Tensor bias = PatternTensor(DType::kBFloat16, {17}, 1);
  bias.read_only = true;
  CHECK_CODE(LoadAlone(*store, *DictOf({{"model", DictOf({{"bias", Value::Of(bias)}})}})),
             Code::kInvalidArgument);
  CHECK_CODE(LoadAlone(*store, *Value::Int(1)), Code::kInvalidArgument);
  LoadOptions options;
  options.coordinator = 2;
  CHECK_CODE(LoadAlone(*store, *DictOf({}), options), Code::kInvalidArgument);
  return {};
}

std::string NothingThere() {
  std::unique_ptr<Store> store = NewMemoryStore();
  auto loaded = LoadAlone(*store, *DictOf({}));
  CHECK_CODE(loaded, Code::kNotFound);
  CHECK_THAT(loaded.status().message().find("no checkpoint at memory://") == 0);
  return {};
}

std::string StridedAndShardedTargets() {
  Tensor whole = PatternTensor(DType::kInt32, {6, 4}, 5);
  std::shared_ptr<Store> store = Saved(*DictOf({{"x", Value::Of(whole)}, {"y", Value::Of(whole)}}));
  CHECK_THAT(store != nullptr);
  Tensor transposed = PatternTensor(DType::kInt32, {4, 6}, 9);
  transposed.shape = {6, 4};
  transposed.strides = {1, 6};
  ShardedTensor sharded;
  sharded.dtype = DType::kInt32;
  sharded.global_shape = {6, 4};
  sharded.shards.push_back({{0, 1}, PatternTensor(DType::kInt32, {2, 3}, 1)});
  sharded.shards.push_back({{5, 0}, PatternTensor(DType::kInt32, {1, 4}, 2)});
  auto loaded =
      LoadAlone(*store, *DictOf({{"x", Value::Of(transposed)}, {"y", Value::Of(sharded)}}));
  CHECK_OK(loaded);
  CHECK_THAT(EqualElements(transposed, whole));
  for (const ShardedTensor::Shard& shard : sharded.shards) {
    CHECK_THAT(EqualElements(shard.tensor, whole.Slice(shard.offsets, shard.tensor.shape)));
  }
  // A rank that holds nothing of y asked for it all the same.
  sharded.shards.clear();
  loaded = LoadAlone(*store, *DictOf({{"x", Value::Of(transposed)}, {"y", Value::Of(sharded)}}));
  CHECK_OK(loaded);
  CHECK_THAT(loaded->report.unexpected.empty());
  return {};
}

// Up to 2.3 a mapping without tensors was one object.
std::string NamesOfOlderFilesAreFound() {
  ValuePtr plain = DictOf({{"a", Value::Int(1)}, {"b", Value::String("x")}});
  ValuePtr weight = Value::Of(PatternTensor(DType::kFloat32, {3}, 1));
  SaveOptions options;
  options.flatten = false;
  std::shared_ptr<Store> store =
      Saved(*DictOf({{"nest.plain", plain}, {"nest.w", weight}}), options);
  CHECK_THAT(store != nullptr);
  ValuePtr target = Zeros(DType::kFloat32, {3});
  ValuePtr state =
      DictOf({{"nest", DictOf({{"plain", DictOf({{"a", Value::None()}})}, {"w", target}})}});
  auto loaded = LoadAlone(*store, *state);
  CHECK_OK(loaded);
  CHECK_THAT(Equal(*target, *weight));
  CHECK_THAT(loaded->objects.size() == 1);
  CHECK_THAT(loaded->objects[0].first.name == "nest.plain");
  CHECK_THAT((loaded->objects[0].first.path == Path{"nest", "plain"}));
  CHECK_THAT(Equal(*loaded->objects[0].second, *plain));
  return {};
}

std::string DamageAndReplacementAreToldApart() {
  std::shared_ptr<Store> store = Saved(*SampleState(1));
  CHECK_THAT(store != nullptr);
  // A data file that is gone: the metadata is the same, so the checkpoint is damaged.
  auto watched = std::make_shared<FaultStore>(store);
  watched->FailLine("open __0_0.distcp", Status(Code::kNotFound, "no __0_0.distcp here"),
                    FaultStore::Times::kFromThenOn);
  auto loaded = LoadAlone(*watched, *BlankState());
  CHECK_CODE(loaded, Code::kCorrupt);
  CHECK_THAT(loaded.status().message().find("__0_0.distcp") != std::string::npos);

  // Saved over between reading the metadata and opening the files.
  auto raced = std::make_shared<FaultStore>(store);
  bool done = false;
  raced->SetHook([&](size_t, const std::string& line) {
    if (done || line != "open __0_0.distcp") return;
    done = true;
    std::unique_ptr<Communicator> comm = NewSingleCommunicator();
    static_cast<void>(Save(*store, *comm, *SampleState(2), {}, Engine()));
  });
  loaded = LoadAlone(*raced, *BlankState());
  CHECK_CODE(loaded, Code::kReplaced);
  CHECK_THAT(loaded.status().message().find("replaced while open") != std::string::npos);
  CHECK_OK(LoadAlone(*raced, *BlankState()));
  return {};
}

std::string FailuresReachEveryRank() {
  std::shared_ptr<Store> store = Saved(*SampleState(1));
  CHECK_THAT(store != nullptr);
  FaultStore no_metadata(store), no_data(store);
  no_metadata.FailLine("open .metadata", kBroken, FaultStore::Times::kFromThenOn);
  no_data.FailLine("open __", kBroken, FaultStore::Times::kFromThenOn);
  for (bool plan : {true, false}) {
    ThreadGroup group(3);
    std::vector<Status> statuses(3);
    group.Run([&](Communicator& comm) {
      const Store* mine = store.get();
      if (comm.rank() == 1) mine = plan ? &no_metadata : &no_data;
      auto loaded = Load(*mine, comm, *BlankState(), {}, Engine());
      statuses[static_cast<size_t>(comm.rank())] = loaded.status();
    });
    for (const Status& status : statuses) {
      CHECK_CODE(status, Code::kRankFailed);
      CHECK_THAT(status.rank_failures().size() == 1);
      CHECK_THAT(status.rank_failures()[0].rank == 1);
      CHECK_THAT(status.rank_failures()[0].step == (plan ? "plan" : "read"));
      CHECK_CODE(status.rank_failures()[0].status, Code::kIo);
    }
  }
  return {};
}

std::string CancelledLoads() {
  std::shared_ptr<Store> store = Saved(*SampleState(1));
  CHECK_THAT(store != nullptr);
  LoadOptions options;
  options.cancel.Cancel();
  CHECK_CODE(LoadAlone(*store, *BlankState(), options), Code::kCancelled);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::TheReportSaysWhatHappened>),
      cmocka_unit_test(dcp::Checked<dcp::WhatDoesNotFitIsRefused>),
      cmocka_unit_test(dcp::Checked<dcp::NothingThere>),
      cmocka_unit_test(dcp::Checked<dcp::StridedAndShardedTargets>),
      cmocka_unit_test(dcp::Checked<dcp::NamesOfOlderFilesAreFound>),
      cmocka_unit_test(dcp::Checked<dcp::DamageAndReplacementAreToldApart>),
      cmocka_unit_test(dcp::Checked<dcp::FailuresReachEveryRank>),
      cmocka_unit_test(dcp::Checked<dcp::CancelledLoads>),
  };
  return cmocka_run_group_tests_name("checkpoint/load", tests, nullptr, nullptr);
}
