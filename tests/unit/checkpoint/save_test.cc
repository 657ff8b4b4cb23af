// Saves and what they leave behind, over the memory store and a folder, one rank and several.
#include "checkpoint/save.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "base/thread_pool.h"
#include "checkpoint/load.h"
#include "reader/metadata_files.h"
#include "storage/open.h"
#include "support/case_swap.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/rank_state.h"
#include "support/sample_state.h"
#include "support/temp_folder.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

using Lines = std::vector<std::string>;

const Status kBroken(Code::kIo, "the disk is on fire");

Result<SaveResult> SaveAlone(Store& store, const Value& state, const SaveOptions& options = {},
                             const Engine& engine = {}) {
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  return Save(store, *comm, state, options, engine);
}

// What is in the store, equals `expected`; empty when so.
std::string LoadsAs(const Store& store, const Value& expected, const Engine& engine = {},
                    const LoadOptions& options = {}) {
  ValuePtr blank = BlankState();
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  auto loaded = Load(store, *comm, *blank, options, engine);
  CHECK_OK(loaded);
  CHECK_THAT(loaded->report.missing.empty());
  CHECK_THAT(loaded->report.uncovered.empty());
  auto wanted = Flatten(expected, FlattenRule::kDefault);
  auto got = Flatten(*blank, FlattenRule::kDefault);
  CHECK_OK(wanted);
  CHECK_OK(got);
  CHECK_THAT(wanted->size() == got->size());
  for (size_t i = 0; i < wanted->size(); ++i) {
    ValuePtr value = (*got)[i].value;
    for (const auto& [leaf, object] : loaded->objects) {
      if (leaf.name == (*got)[i].name) value = object;
    }
    if (!Equal(*value, *(*wanted)[i].value)) return (*got)[i].name + " differs";
  }
  return {};
}

Lines NamesIn(const Store& store) {
  Lines names = *store.List();
  std::sort(names.begin(), names.end());
  return names;
}

std::string SavedThenLoaded() {
  std::unique_ptr<Store> store = NewMemoryStore();
  ValuePtr state = SampleState(7);
  auto saved = SaveAlone(*store, *state);
  CHECK_OK(saved);
  CHECK_THAT(saved->items_written == 7);
  CHECK_THAT(saved->files_written == 1);
  CHECK_THAT(saved->bytes_written > 40 * 1024);
  CHECK_THAT(saved->warnings.empty());
  CHECK_THAT(saved->save_id.size() == 36 && saved->save_id[14] == '4');
  CHECK_THAT((NamesIn(*store) == Lines{".metadata", "__0_0.distcp"}));
  std::string wrong = LoadsAs(*store, *state);
  if (!wrong.empty()) return wrong;

  auto committed = ReadCommittedMetadata(*store);
  CHECK_OK(committed);
  const Metadata& metadata = committed->metadata;
  CHECK_THAT(metadata.version == "1.0.0");
  CHECK_THAT(metadata.storage_meta->save_id == saved->save_id);
  CHECK_THAT(metadata.storage_meta->checkpoint_id == store->location());
  CHECK_THAT(metadata.storage_meta->modules.empty());
  CHECK_THAT(metadata.checksummed);
  CHECK_THAT(metadata.entries.size() == 7);
  CHECK_THAT(metadata.planner_data->size() == 7);
  return {};
}

std::string OverwritingUsesNewNames() {
  std::unique_ptr<Store> store = NewMemoryStore();
  std::set<std::string> ids;
  for (int64_t i = 0; i < 4; ++i) {
    SaveOptions options;
    options.files = i == 1 ? 3 : 1;
    options.checkpoint_id = "mine";
    ValuePtr state = SampleState(i);
    auto saved = SaveAlone(*store, *state, options);
    CHECK_OK(saved);
    ids.insert(saved->save_id);
    std::string wrong = LoadsAs(*store, *state);
    if (!wrong.empty()) return wrong;
    if (i == 1) {
      CHECK_THAT((NamesIn(*store) ==
                  Lines{".metadata", "__0_0.g1.distcp", "__0_1.g1.distcp", "__0_2.g1.distcp"}));
    }
  }
  CHECK_THAT(ids.size() == 4);
  CHECK_THAT((NamesIn(*store) == Lines{".metadata", "__0_0.g3.distcp"}));
  CHECK_THAT(ReadCommittedMetadata(*store)->metadata.storage_meta->checkpoint_id == "mine");
  return {};
}

std::string ExistingCheckpointsCanBeProtected() {
  TempFolder folder;
  auto store = OpenStore(folder / "a/b", LocalStoreOptions());
  CHECK_OK(store);
  SaveOptions options;
  options.overwrite = false;
  ValuePtr state = SampleState(1);
  CHECK_OK(SaveAlone(**store, *state, options));
  FaultStore watched(*std::move(store));
  auto refused = SaveAlone(watched, *SampleState(2), options);
  CHECK_CODE(refused, Code::kAlreadyExists);
  CHECK_THAT(refused.status().message().find("Checkpoint already exists") == 0);
  CHECK_THAT(refused.status().message().find("a/b") != std::string::npos);
  CHECK_THAT(watched.Lines() == Lines{"list"});
  return LoadsAs(watched, *state);
}

std::string EveryShapeOfSaving() {
  Engine engine;
  CHECK_OK(engine.transforms->Add(NewCaseSwapTransform()));
  for (int shape = 0; shape < 6; ++shape) {
    std::unique_ptr<Store> store = NewMemoryStore();
    SaveOptions options;
    if (shape == 0) options.files = 5;
    if (shape == 1) options.file_per_item = true;
    if (shape == 2) options.transforms = {"stream.rot13"};
    if (shape == 3) options.transforms = {"stream.rot13/1"};
    if (shape == 4) options.dialect = Dialect::kTorch21;
    if (shape == 5) {
      options.durable = false;
      options.direct = false;
      options.block_checksums = false;
    }
    ValuePtr state = SampleState(shape);
    auto saved = SaveAlone(*store, *state, options, engine);
    CHECK_OK(saved);
    CHECK_THAT(saved->files_written == (shape == 0 ? 5u : shape == 1 ? 7u : 1u));
    CHECK_THAT(NamesIn(*store).size() == saved->files_written + 1);
    std::string wrong = LoadsAs(*store, *state, engine);
    if (!wrong.empty()) return fmt::format("shape {}: {}", shape, wrong);
    auto committed = ReadCommittedMetadata(*store);
    CHECK_OK(committed);
    bool transformed = shape == 2 || shape == 3;
    const Location& location = committed->metadata.entries[0].locations[0];
    CHECK_THAT((committed->metadata.transform_sets[location.transforms] ==
                (transformed ? Lines{"stream.rot13/1"} : Lines{})));
  }
  std::unique_ptr<Store> store = NewMemoryStore();
  SaveOptions options;
  options.transforms = {"stream.none such"};
  auto refused = SaveAlone(*store, *SampleState(1), options, engine);
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("stream.none such") != std::string::npos);
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

std::string WithoutFlattening() {
  std::unique_ptr<Store> store = NewMemoryStore();
  SaveOptions options;
  options.flatten = false;
  ValuePtr tensor = Value::Of(PatternTensor(DType::kFloat32, {3}, 1));
  ValuePtr state = DictOf({{"a.b", tensor}, {"nested", DictOf({{"t", tensor}})}});
  CHECK_OK(SaveAlone(*store, *state, options));
  auto committed = ReadCommittedMetadata(*store);
  CHECK_OK(committed);
  CHECK_THAT(!committed->metadata.planner_data);
  CHECK_THAT(committed->metadata.entries.size() == 2);
  CHECK_THAT(committed->metadata.Find("nested").has_value());

  ValuePtr blank = Value::Of(PatternTensor(DType::kFloat32, {3}, 9));
  ValuePtr target = DictOf({{"a.b", blank}, {"nested", Value::None()}});
  LoadOptions load_options;
  load_options.flatten = false;
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  auto loaded = Load(*store, *comm, *target, load_options, Engine());
  CHECK_OK(loaded);
  CHECK_THAT(Equal(*blank, *tensor));
  CHECK_THAT(loaded->objects.size() == 1);
  CHECK_THAT(Equal(*loaded->objects[0].second, **state->Find("nested")));

  ValuePtr numbered = Value::Dict({{Value::Int(1), Value::Int(2)}});
  CHECK_CODE(SaveAlone(*store, *numbered, options), Code::kInvalidArgument);
  CHECK_CODE(SaveAlone(*store, *Value::Int(2), options), Code::kInvalidArgument);
  return {};
}

std::string NothingToSave() {
  std::unique_ptr<Store> store = NewMemoryStore();
  auto saved = SaveAlone(*store, *DictOf({}));
  CHECK_OK(saved);
  CHECK_THAT(saved->items_written == 0);
  CHECK_THAT((NamesIn(*store) == Lines{".metadata", "__0_0.distcp"}));
  auto committed = ReadCommittedMetadata(*store);
  CHECK_OK(committed);
  CHECK_THAT(committed->metadata.entries.empty());
  return {};
}

std::string WrongOptionsAreRefused() {
  std::unique_ptr<Store> store = NewMemoryStore();
  SaveOptions options;
  options.files = 0;
  CHECK_CODE(SaveAlone(*store, *SampleState(1), options), Code::kInvalidArgument);
  options.files = 1;
  options.coordinator = 1;
  CHECK_CODE(SaveAlone(*store, *SampleState(1), options), Code::kInvalidArgument);
  CHECK_CODE(SaveAlone(*store, *Value::Int(1)), Code::kInvalidArgument);
  ValuePtr twice =
      Value::Dict({{Value::String("a"), Value::Dict({{Value::String("b"), Value::Int(1)}})},
                   {Value::String("a.b"), Value::Int(2)}});
  CHECK_CODE(SaveAlone(*store, *twice), Code::kInvalidArgument);
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

std::string CancellingKeepsTheOld() {
  std::unique_ptr<Store> store = NewMemoryStore();
  ValuePtr old = SampleState(1);
  CHECK_OK(SaveAlone(*store, *old));
  struct CancelIn final : ProgressSink {
    Status Update(const ProgressEvent& event) override {
      if (event.phase == phase) cancel.Cancel();
      return Status::Ok();
    }
    ProgressPhase phase = ProgressPhase::kPlan;
    CancelToken cancel;
  };
  for (ProgressPhase phase :
       {ProgressPhase::kPlan, ProgressPhase::kWrite, ProgressPhase::kCommit}) {
    Engine engine;
    auto sink = std::make_shared<CancelIn>();
    sink->phase = phase;
    engine.progress = sink;
    SaveOptions options;
    options.cancel = sink->cancel;
    CHECK_CODE(SaveAlone(*store, *SampleState(2), options, engine), Code::kCancelled);
    CHECK_THAT((NamesIn(*store) == Lines{".metadata", "__0_0.distcp"}));
  }
  return LoadsAs(*store, *old);
}

std::string AProgressCallbackMayStopIt() {
  struct Stop final : ProgressSink {
    Status Update(const ProgressEvent& event) override {
      phases.push_back(event.phase);
      return event.phase == ProgressPhase::kWrite ? Status(Code::kCallback, "stop") : Status::Ok();
    }
    std::vector<ProgressPhase> phases;
  };
  std::unique_ptr<Store> store = NewMemoryStore();
  Engine engine;
  auto sink = std::make_shared<Stop>();
  engine.progress = sink;
  CHECK_CODE(SaveAlone(*store, *SampleState(2), {}, engine), Code::kCallback);
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

// ---- several ranks ----

struct RankOutcome {
  Status status;
  SaveResult result;
};

std::vector<RankOutcome> SaveOnRanks(const std::vector<Store*>& stores, uint64_t seed,
                                     const SaveOptions& options = {},
                                     std::vector<ValuePtr> states = {}) {
  ThreadGroup group(static_cast<int32_t>(stores.size()));
  std::vector<RankOutcome> outcomes(stores.size());
  group.Run([&](Communicator& comm) {
    size_t rank = static_cast<size_t>(comm.rank());
    ValuePtr state =
        states.empty() ? RankState(comm.rank(), comm.world_size(), seed) : states[rank];
    auto saved = Save(*stores[rank], comm, *state, options, Engine());
    outcomes[rank].status = saved.status();
    if (saved.ok()) outcomes[rank].result = *saved;
  });
  return outcomes;
}

std::string ThreeRanksSaveOneCheckpoint() {
  std::unique_ptr<Store> store = NewMemoryStore();
  std::vector<Store*> three(3, store.get());
  for (uint64_t seed : {1, 2}) {
    std::set<std::string> ids;
    uint64_t items = 0;
    SaveOptions options;
    options.coordinator = 1;
    for (const RankOutcome& outcome : SaveOnRanks(three, seed, options)) {
      CHECK_OK(outcome.status);
      ids.insert(outcome.result.save_id);
      items += outcome.result.items_written;
    }
    CHECK_THAT(ids.size() == 1);
    CHECK_THAT(items == 3 + 1 + 3 + 1);  // shards, the replicated tensor once, own, step once
  }
  CHECK_THAT((NamesIn(*store) ==
              Lines{".metadata", "__0_0.g1.distcp", "__1_0.g1.distcp", "__2_0.g1.distcp"}));

  // One rank reads it all, cut otherwise.
  ValuePtr whole = Value::Of(PatternTensor(DType::kFloat32, {6, 3}, 99));
  ValuePtr target = DictOf({{"sharded", whole},
                            {"replicated", Value::Of(PatternTensor(DType::kInt32, {5}, 98))},
                            {"own", DictOf({{"rank2", Value::None()}})},
                            {"step", Value::None()}});
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  auto loaded = Load(*store, *comm, *target, {}, Engine());
  CHECK_OK(loaded);
  CHECK_THAT(EqualElements(whole->tensor, PatternTensor(DType::kFloat32, {6, 3}, 2)));
  CHECK_THAT(loaded->objects.size() == 2);
  CHECK_THAT(Equal(*loaded->objects[0].second, *Value::Int(2)));

  // A smaller world over it: the coordinator removes what other ranks left.
  CHECK_OK(SaveAlone(*store, *SampleState(4)));
  CHECK_THAT((NamesIn(*store) == Lines{".metadata", "__0_0.g2.distcp"}));
  return {};
}

std::string AFailureReachesEveryRank() {
  for (int step = 0; step < 3; ++step) {
    for (int bad = 0; bad < 3; ++bad) {
      std::shared_ptr<Store> store = NewMemoryStore();
      std::vector<Store*> good(3, store.get());
      for (const RankOutcome& outcome : SaveOnRanks(good, 1)) CHECK_OK(outcome.status);
      Lines before = NamesIn(*store);

      FaultStore broken(store);
      const char* line = step == 0 ? "list" : step == 1 ? "write __" : "finish __";
      broken.FailLine(line, kBroken);
      std::vector<Store*> stores = good;
      stores[static_cast<size_t>(bad)] = &broken;
      for (const RankOutcome& outcome : SaveOnRanks(stores, 2)) {
        CHECK_CODE(outcome.status, Code::kRankFailed);
        const std::vector<RankFailure>& failures = outcome.status.rank_failures();
        CHECK_THAT(failures.size() == 1);
        CHECK_THAT(failures[0].rank == bad);
        CHECK_THAT(failures[0].step == (step == 0 ? "plan" : "write"));
        CHECK_CODE(failures[0].status, Code::kIo);
        CHECK_THAT(failures[0].status.message().find("on fire") != std::string::npos);
        CHECK_THAT(outcome.status.message().find(fmt::format("rank {}", bad)) != std::string::npos);
      }
      CHECK_THAT(NamesIn(*store) == before);
      CHECK_THAT(ReadCommittedMetadata(*store).ok());
    }
  }
  return {};
}

std::string RanksThatDisagreeAreRefused() {
  std::unique_ptr<Store> store = NewMemoryStore();
  std::vector<Store*> two(2, store.get());
  std::vector<ValuePtr> states = {
      DictOf({{"x", Value::Of(PatternTensor(DType::kFloat32, {4}, 1))}}),
      DictOf({{"x", Value::Of(PatternTensor(DType::kFloat32, {5}, 1))}})};
  for (const RankOutcome& outcome : SaveOnRanks(two, 1, {}, states)) {
    CHECK_CODE(outcome.status, Code::kRankFailed);
    CHECK_THAT(outcome.status.rank_failures()[0].rank == 0);  // found by the coordinator
    CHECK_THAT(outcome.status.rank_failures()[0].step == "plan");
  }
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

std::string SeveralFailuresAreAllTold() {
  std::shared_ptr<Store> store = NewMemoryStore();
  FaultStore broken(store);
  broken.FailLine("create __", kBroken, FaultStore::Times::kFromThenOn);
  std::vector<Store*> stores = {store.get(), &broken, &broken, store.get()};
  for (const RankOutcome& outcome : SaveOnRanks(stores, 2)) {
    CHECK_CODE(outcome.status, Code::kRankFailed);
    CHECK_THAT(outcome.status.rank_failures().size() == 2);
    CHECK_THAT(outcome.status.rank_failures()[0].rank == 1);
    CHECK_THAT(outcome.status.rank_failures()[1].rank == 2);
  }
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

std::string AMissingRankIsNamed() {
  std::unique_ptr<Store> store = NewMemoryStore();
  ThreadGroup group(3);
  std::mutex mutex;
  std::vector<Status> statuses;
  group.Run([&](Communicator& comm) {
    if (comm.rank() == 2) return;
    SaveOptions options;
    options.timeout_ms = 100;
    auto saved = Save(*store, comm, *RankState(comm.rank(), 3, 1), options, Engine());
    std::lock_guard lock(mutex);
    statuses.push_back(saved.status());
  });
  CHECK_THAT(statuses.size() == 2);
  for (const Status& status : statuses) {
    CHECK_CODE(status, Code::kRankFailed);
    CHECK_THAT(status.message().find("rank 2") != std::string::npos);
    CHECK_THAT(status.rank_failures().size() == 1);
    CHECK_THAT(status.rank_failures()[0].rank == 2);
    CHECK_THAT(status.rank_failures()[0].step == "plan");
    CHECK_CODE(status.rank_failures()[0].status, Code::kTimeout);
  }
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

// Three ranks, of which the last comes to a halt for three times the timeout when it does `line`
// for the first time: the others name it meanwhile, and it changes nothing when it goes on.
std::string HaltedAt(const std::string& line, std::string_view step, int64_t timeout_ms) {
  std::shared_ptr<Store> store = NewMemoryStore();
  std::vector<Store*> all(3, store.get());
  for (const RankOutcome& outcome : SaveOnRanks(all, 1)) CHECK_OK(outcome.status);
  const Lines before = NamesIn(*store);
  FaultStore halting(store);
  std::atomic<bool> halted{false};
  std::atomic<size_t> halted_at{0};
  halting.SetHook([&](size_t number, const std::string& called) {
    if (!called.starts_with(line) || halted.exchange(true)) return;
    halted_at = number;
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * timeout_ms));
  });
  SaveOptions options;
  options.timeout_ms = timeout_ms;
  ThreadGroup group(3);
  std::vector<Status> statuses(3);
  group.Run([&](Communicator& comm) {
    const auto rank = static_cast<size_t>(comm.rank());
    Store& mine = rank == 2 ? static_cast<Store&>(halting) : *store;
    statuses[rank] = Save(mine, comm, *RankState(comm.rank(), 3, 2), options, Engine()).status();
  });
  CHECK_THAT(halted.load());
  for (size_t rank = 0; rank < 2; ++rank) {
    const Status& status = statuses[rank];
    CHECK_CODE(status, Code::kRankFailed);
    CHECK_THAT(status.rank_failures().size() == 1 && status.rank_failures()[0].rank == 2);
    CHECK_THAT(status.rank_failures()[0].step == step);
  }
  CHECK_THAT(!statuses[2].ok());
  const Lines calls = halting.Lines();
  for (size_t i = halted_at + 1; i < calls.size(); ++i) {
    for (const char* change : {"make_root", "create", "write ", "finish", "rename", "remove"}) {
      if (calls[i].starts_with(change)) return fmt::format("after the halt: {}", calls[i]);
    }
  }
  // What it had begun stays for the next save to remove, the old checkpoint is as it was.
  for (const std::string& name : before) {
    const Lines now = NamesIn(*store);
    CHECK_THAT(std::find(now.begin(), now.end(), name) != now.end());
  }
  CHECK_THAT(ReadCommittedMetadata(*store)->metadata.entries.size() > 0);
  for (const RankOutcome& outcome : SaveOnRanks(all, 3)) CHECK_OK(outcome.status);
  CHECK_THAT(NamesIn(*store).size() == before.size());
  return {};
}

std::string AHaltedRankChangesNothing() {
  constexpr std::pair<const char*, const char*> kHalts[] = {
      {"list", "plan"},
      {"create __2_0.g1.distcp", "write"},
      {"write __2_0.g1.distcp", "write"},
      {"finish __2_0.g1.distcp", "write"},
  };
  std::vector<std::string> wrong(std::size(kHalts));
  const Status ran = RunParallel(wrong.size(), [&](size_t i) {
    wrong[i] = HaltedAt(kHalts[i].first, kHalts[i].second, 1000);
    return Status::Ok();
  });
  CHECK_OK(ran);
  for (size_t i = 0; i < wrong.size(); ++i) {
    if (!wrong[i].empty()) return fmt::format("halted at '{}': {}", kHalts[i].first, wrong[i]);
  }
  return {};
}

// A communicator whose `which`-th collective call fails on this rank.
class Failing final : public Communicator {
 public:
  Failing(Communicator& inner, int which) : inner_(inner), left_(which) {}
  int32_t rank() const override { return inner_.rank(); }
  int32_t world_size() const override { return inner_.world_size(); }
  Result<Gathered> Gather(std::string bytes, int32_t root, Silence d) override {
    auto result = inner_.Gather(std::move(bytes), root, d);
    if (left_-- == 0) return Status(Code::kTimeout, "the line went dead");
    return result;
  }
  Result<std::string> Scatter(std::vector<std::string> parts, int32_t root, Silence d) override {
    auto result = inner_.Scatter(std::move(parts), root, d);
    if (left_-- == 0) return Status(Code::kTimeout, "the line went dead");
    return result;
  }
  Result<std::string> Broadcast(std::string bytes, int32_t root, Silence d) override {
    auto result = inner_.Broadcast(std::move(bytes), root, d);
    if (left_-- == 0) return Status(Code::kTimeout, "the line went dead");
    return result;
  }
  Result<std::vector<std::string>> AllGather(std::string bytes, Silence d) override {
    return inner_.AllGather(std::move(bytes), d);
  }
  Status Barrier(Silence d) override { return inner_.Barrier(d); }

 private:
  Communicator& inner_;
  int left_;
};

// A communicator that loses the last byte of what is scattered to this rank.
class Garbling final : public Communicator {
 public:
  explicit Garbling(Communicator& inner) : inner_(inner) {}
  int32_t rank() const override { return inner_.rank(); }
  int32_t world_size() const override { return inner_.world_size(); }
  Result<Gathered> Gather(std::string bytes, int32_t root, Silence d) override {
    return inner_.Gather(std::move(bytes), root, d);
  }
  Result<std::string> Scatter(std::vector<std::string> parts, int32_t root, Silence d) override {
    DCP_ASSIGN_OR_RETURN(std::string part, inner_.Scatter(std::move(parts), root, d));
    part.pop_back();
    return part;
  }
  Result<std::string> Broadcast(std::string bytes, int32_t root, Silence d) override {
    return inner_.Broadcast(std::move(bytes), root, d);
  }
  Result<std::vector<std::string>> AllGather(std::string bytes, Silence d) override {
    return inner_.AllGather(std::move(bytes), d);
  }
  Status Barrier(Silence d) override { return inner_.Barrier(d); }

 private:
  Communicator& inner_;
};

std::string AnUnreadableAssignmentReachesEveryRank() {
  std::unique_ptr<Store> store = NewMemoryStore();
  ThreadGroup group(3);
  std::vector<Status> statuses(3);
  group.Run([&](Communicator& comm) {
    Garbling garbling(comm);
    const bool bad = comm.rank() == 1;
    auto saved = Save(*store, bad ? static_cast<Communicator&>(garbling) : comm,
                      *RankState(comm.rank(), 3, 1), {}, Engine());
    statuses[static_cast<size_t>(comm.rank())] = saved.status();
  });
  for (const Status& status : statuses) {
    CHECK_CODE(status, Code::kRankFailed);
    CHECK_THAT(status.rank_failures().size() == 1);
    CHECK_THAT(status.rank_failures()[0].rank == 1);
    CHECK_THAT(status.rank_failures()[0].step == "write");
  }
  CHECK_THAT(NamesIn(*store).empty());
  return {};
}

// Rank 1 never hears the decision (its last collective fails): it looks for itself.
std::string AnUnheardDecisionIsLookedUp() {
  for (bool commit_fails : {false, true}) {
    std::shared_ptr<Store> store = NewMemoryStore();
    FaultStore coordinator(store);
    if (commit_fails) coordinator.FailLine("create .metadata.", kBroken);
    ThreadGroup group(2);
    std::vector<Status> statuses(2);
    std::vector<size_t> warnings(2);
    group.Run([&](Communicator& comm) {
      size_t rank = static_cast<size_t>(comm.rank());
      ValuePtr state = RankState(comm.rank(), 2, 1);
      Failing failing(comm, 3);
      auto saved = rank == 0 ? Save(coordinator, comm, *state, {}, Engine())
                             : Save(*store, failing, *state, {}, Engine());
      statuses[rank] = saved.status();
      if (saved.ok()) warnings[rank] = saved->warnings.size();
    });
    if (commit_fails) {
      CHECK_CODE(statuses[0], Code::kRankFailed);
      CHECK_CODE(statuses[1], Code::kOutcomeUnknown);
      // Rank 1 may not remove what might have been committed; the next save does.
      CHECK_THAT((NamesIn(*store) == Lines{"__1_0.distcp"}));
    } else {
      CHECK_OK(statuses[0]);
      CHECK_OK(statuses[1]);
      CHECK_THAT(warnings[1] == 1);
      CHECK_THAT((NamesIn(*store) == Lines{".metadata", "__0_0.distcp", "__1_0.distcp"}));
    }
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::SavedThenLoaded>),
      cmocka_unit_test(dcp::Checked<dcp::OverwritingUsesNewNames>),
      cmocka_unit_test(dcp::Checked<dcp::ExistingCheckpointsCanBeProtected>),
      cmocka_unit_test(dcp::Checked<dcp::EveryShapeOfSaving>),
      cmocka_unit_test(dcp::Checked<dcp::WithoutFlattening>),
      cmocka_unit_test(dcp::Checked<dcp::NothingToSave>),
      cmocka_unit_test(dcp::Checked<dcp::WrongOptionsAreRefused>),
      cmocka_unit_test(dcp::Checked<dcp::CancellingKeepsTheOld>),
      cmocka_unit_test(dcp::Checked<dcp::AProgressCallbackMayStopIt>),
      cmocka_unit_test(dcp::Checked<dcp::ThreeRanksSaveOneCheckpoint>),
      cmocka_unit_test(dcp::Checked<dcp::AFailureReachesEveryRank>),
      cmocka_unit_test(dcp::Checked<dcp::RanksThatDisagreeAreRefused>),
      cmocka_unit_test(dcp::Checked<dcp::SeveralFailuresAreAllTold>),
      cmocka_unit_test(dcp::Checked<dcp::AMissingRankIsNamed>),
      cmocka_unit_test(dcp::Checked<dcp::AHaltedRankChangesNothing>),
      cmocka_unit_test(dcp::Checked<dcp::AnUnreadableAssignmentReachesEveryRank>),
      cmocka_unit_test(dcp::Checked<dcp::AnUnheardDecisionIsLookedUp>),
  };
  return cmocka_run_group_tests_name("checkpoint/save", tests, nullptr, nullptr);
}
