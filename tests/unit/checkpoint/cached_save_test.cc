// Saves with a plan cache: beside each, the same without one, whose metadata must be the same.
#include <algorithm>
#include <array>

#include "checkpoint/cached_plans.h"
#include "checkpoint/file_writer.h"
#include "checkpoint/load.h"
#include "reader/metadata_files.h"
#include "storage/open.h"
#include "support/case_swap.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/rank_state.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

const Status kBroken(Code::kIo, "the disk is on fire");

// Counts what passes.
class Counting final : public Communicator {
 public:
  explicit Counting(Communicator& inner) : inner_(inner) {}
  int32_t rank() const override { return inner_.rank(); }
  int32_t world_size() const override { return inner_.world_size(); }
  Result<Gathered> Gather(std::string bytes, int32_t root, Silence silence) override {
    ++gathers;
    sent += bytes.size();
    return inner_.Gather(std::move(bytes), root, silence);
  }
  Result<std::string> Scatter(std::vector<std::string> parts, int32_t root,
                              Silence silence) override {
    ++scatters;
    return inner_.Scatter(std::move(parts), root, silence);
  }
  Result<std::string> Broadcast(std::string bytes, int32_t root, Silence silence) override {
    return inner_.Broadcast(std::move(bytes), root, silence);
  }
  Result<std::vector<std::string>> AllGather(std::string bytes, Silence silence) override {
    return inner_.AllGather(std::move(bytes), silence);
  }
  Status Barrier(Silence silence) override { return inner_.Barrier(silence); }

  int gathers = 0;
  int scatters = 0;
  size_t sent = 0;

 private:
  Communicator& inner_;
};

struct RankOutcome {
  Status status;
  SaveResult result;
  int gathers = 0;
  int scatters = 0;
  size_t sent = 0;
};

// What ranks do one save after another, in one store with caches and in another without.
struct Family {
  explicit Family(int32_t size) { Resize(size); }

  int32_t ranks = 0;
  std::vector<std::shared_ptr<PlanCache>> caches;
  SaveOptions options;
  DType dtype_of_last = DType::kFloat32;  // of a tensor of the last rank
  int64_t rows = 4;                       // of that tensor
  std::shared_ptr<Store> cached = NewMemoryStore();
  std::shared_ptr<Store> plain = NewMemoryStore();
  std::vector<RankOutcome> outcomes;  // of the last save with caches

  void Resize(int32_t size) {
    ranks = size;
    caches.resize(static_cast<size_t>(size));
    for (auto& cache : caches) {
      if (cache == nullptr) cache = std::make_shared<PlanCache>();
    }
    options.checkpoint_id = "the family";
  }

  ValuePtr State(int32_t rank, uint64_t seed) const {
    const bool last = rank == ranks - 1;
    const std::string name = fmt::format("rank{}", rank);
    return DictOf(
        {{"shared", RankState(rank, ranks, seed)},
         {"moments", DictOf({{name, Value::Of(PatternTensor(last ? dtype_of_last : DType::kFloat32,
                                                            {last ? rows : 3, 2}, seed))}})}});
  }

  std::vector<RankOutcome> Run(uint64_t seed, bool with_caches,
                               const std::vector<Store*>& stores) const {
    std::vector<RankOutcome> all(stores.size());
    Engine engine;
    (void)engine.transforms->Add(NewCaseSwapTransform());
    ThreadGroup(ranks).Run([&](Communicator& comm) {
      Counting counting(comm);
      const auto rank = static_cast<size_t>(comm.rank());
      SaveOptions mine = options;
      if (with_caches) mine.plan_cache = caches[rank];
      auto saved = dcp::Save(*stores[rank], counting, *State(comm.rank(), seed), mine, engine);
      all[rank] = {saved.status(), saved.ok() ? *saved : SaveResult(), counting.gathers,
                   counting.scatters, counting.sent};
    });
    return all;
  }

  std::string Save(uint64_t seed);
  std::string LoadsAs(uint64_t seed) const;
  // Empty when the last save, on each rank, asked for this many plans and reused what `reused`
  // says.
  std::string Was(int plan_rounds, const std::vector<bool>& reused) const;
  std::string WasReused() const { return Was(1, std::vector<bool>(caches.size(), true)); }
  std::vector<Store*> Everywhere(Store* store) const { return {caches.size(), store}; }
};

// `.metadata` as it would be without the ids.
Result<std::string> MetadataOf(const Store& store) {
  DCP_ASSIGN_OR_RETURN(CommittedMetadata committed, ReadCommittedMetadata(store));
  committed.metadata.storage_meta.emplace();
  return EncodeMetadata(committed.metadata, Dialect::kDefault);
}

std::string Family::Save(uint64_t seed) {
  outcomes = Run(seed, true, Everywhere(cached.get()));
  for (const RankOutcome& outcome : outcomes) {
    CHECK_OK(outcome.status);
    CHECK_THAT(outcome.result.warnings.empty());
    CHECK_THAT(outcome.result.save_id == outcomes[0].result.save_id);
  }
  const std::vector<RankOutcome> without = Run(seed, false, Everywhere(plain.get()));
  for (size_t rank = 0; rank < without.size(); ++rank) {
    CHECK_OK(without[rank].status);
    CHECK_THAT(!without[rank].result.plan_reused);
    CHECK_THAT(without[rank].gathers == 2 && without[rank].scatters == 1);
    CHECK_THAT(without[rank].result.items_written == outcomes[rank].result.items_written);
    CHECK_THAT(without[rank].result.bytes_written == outcomes[rank].result.bytes_written);
  }
  auto names = cached->List(), expected_names = plain->List();
  CHECK_OK(names);
  CHECK_OK(expected_names);
  std::sort(names->begin(), names->end());
  std::sort(expected_names->begin(), expected_names->end());
  CHECK_THAT(*names == *expected_names);
  const auto metadata = MetadataOf(*cached), expected = MetadataOf(*plain);
  CHECK_OK(metadata);
  CHECK_OK(expected);
  CHECK_THAT(*metadata == *expected);
  if (options.dialect == Dialect::kDefault) {
    const auto committed = ReadCommittedMetadata(*cached);
    CHECK_THAT(committed->metadata.checksummed && committed->metadata.storage_meta.has_value());
    CHECK_THAT(committed->metadata.storage_meta->checkpoint_id == options.checkpoint_id);
    CHECK_THAT(committed->metadata.storage_meta->save_id == outcomes[0].result.save_id);
  }
  return LoadsAs(seed);
}

std::string Family::LoadsAs(uint64_t seed) const {
  Engine engine;
  CHECK_OK(engine.transforms->Add(NewCaseSwapTransform()));
  for (int32_t rank = 0; rank < ranks; ++rank) {
    const ValuePtr blank = State(rank, 250);
    const std::unique_ptr<Communicator> comm = NewSingleCommunicator();
    auto loaded = Load(*cached, *comm, *blank, {}, engine);
    CHECK_OK(loaded);
    CHECK_THAT(loaded->report.missing.empty() && loaded->report.uncovered.empty());
    const auto wanted = Flatten(*State(rank, seed), FlattenRule::kDefault);
    const auto got = Flatten(*blank, FlattenRule::kDefault);
    CHECK_THAT(wanted.ok() && got.ok() && wanted->size() == got->size());
    for (size_t i = 0; i < wanted->size(); ++i) {
      ValuePtr value = (*got)[i].value;
      for (const auto& [leaf, object] : loaded->objects) {
        if (leaf.name == (*got)[i].name) value = object;
      }
      if (!Equal(*value, *(*wanted)[i].value)) {
        return fmt::format("rank {}: {} differs", rank, (*got)[i].name);
      }
    }
  }
  return {};
}

std::string Family::Was(int plan_rounds, const std::vector<bool>& reused) const {
  for (size_t rank = 0; rank < outcomes.size(); ++rank) {
    const RankOutcome& outcome = outcomes[rank];
    if (outcome.gathers != plan_rounds + 1 || outcome.scatters != plan_rounds) {
      return fmt::format("rank {}: {} gathers", rank, outcome.gathers);
    }
    if (outcome.result.plan_reused != reused[rank]) {
      return fmt::format("rank {}: its plan was {}", rank, reused[rank] ? "not reused" : "reused");
    }
  }
  return {};
}

#define EXPECT(...)                                             \
  if (std::string wrong = __VA_ARGS__; !wrong.empty()) {        \
    return fmt::format("{}:{}: {}", __FILE__, __LINE__, wrong); \
  }

std::string TheSameLayoutIsReused() {
  if (!HasSha256()) return {};
  for (const int32_t ranks : {1, 3, 4}) {
    Family family(ranks);
    const std::vector<bool> none(family.caches.size(), false);
    EXPECT(family.Save(1));
    EXPECT(family.Was(1, none));
    const size_t first = family.outcomes.back().sent;
    // Names of files become longer once.
    EXPECT(family.Save(2));
    EXPECT(family.WasReused());
    CHECK_THAT(!family.caches[0]->coordinator().patched());
    for (uint64_t seed = 3; seed < 6; ++seed) {
      EXPECT(family.Save(seed));
      EXPECT(family.WasReused());
      CHECK_THAT(family.caches[0]->coordinator().patched());
      // A key each for plan and outcome with the agreement's byte, and CRCs; but what the
      // coordinator wrote does not travel.
      CHECK_THAT(family.outcomes[0].sent == 33 + 1);
      for (size_t rank = 1; rank < family.outcomes.size(); ++rank) {
        const RankOutcome& outcome = family.outcomes[rank];
        CHECK_THAT(outcome.sent == 2 * 33 + 4 * outcome.result.items_written);
      }
      CHECK_THAT(family.outcomes.back().sent < first);
    }
  }
  return {};
}

std::string ChangesArePlannedAnew() {
  if (!HasSha256()) return {};
  for (const int32_t ranks : {1, 3, 4}) {
    Family family(ranks);
    const std::vector<bool> none(family.caches.size(), false);
    EXPECT(family.Save(1));
    EXPECT(family.Save(2));
    EXPECT(family.WasReused());
    // A dtype of the last rank: the others write what they wrote, the coordinator plans.
    family.dtype_of_last = DType::kFloat64;
    EXPECT(family.Save(3));
    std::vector<bool> expected(family.caches.size(), true);
    expected.front() = expected.back() = false;
    EXPECT(family.Was(1, expected));
    EXPECT(family.Save(4));
    EXPECT(family.WasReused());
    // A shape.
    family.rows = 6;
    EXPECT(family.Save(5));
    EXPECT(family.Was(1, expected));
    // Options that the coordinator plans and writes metadata by: it asks all.
    family.options.dedup_to_lowest_rank = true;
    EXPECT(family.Save(6));
    EXPECT(family.Was(2, none));
    EXPECT(family.Save(7));
    EXPECT(family.WasReused());
    family.options.transforms = {"stream.rot13"};
    EXPECT(family.Save(8));
    EXPECT(family.Was(2, none));
    EXPECT(family.Save(9));
    EXPECT(family.WasReused());
    // Those of data files only move items.
    family.options.files = 2;
    EXPECT(family.Save(10));
    EXPECT(family.WasReused());
    CHECK_THAT(!family.caches[0]->coordinator().patched());
    EXPECT(family.Save(11));
    EXPECT(family.WasReused());
    family.options.transforms.clear();
    family.options.dialect = Dialect::kTorch21;
    EXPECT(family.Save(12));
    EXPECT(family.Was(2, none));
    EXPECT(family.Save(13));
    EXPECT(family.WasReused());
    family.options.dialect = Dialect::kDefault;
    EXPECT(family.Save(14));
    EXPECT(family.Was(2, none));
  }
  return {};
}

std::string FreshCachesAreTold() {
  if (!HasSha256()) return {};
  for (const int32_t ranks : {1, 3, 4}) {
    Family family(ranks);
    const std::vector<bool> none(family.caches.size(), false);
    EXPECT(family.Save(1));
    EXPECT(family.Save(2));
    // The last rank was restarted: it tells its plan of its own accord.
    if (ranks > 1) {
      family.caches.back() = std::make_shared<PlanCache>();
      EXPECT(family.Save(3));
      std::vector<bool> expected(family.caches.size(), true);
      expected.front() = expected.back() = false;
      EXPECT(family.Was(1, expected));
      EXPECT(family.Save(4));
      EXPECT(family.WasReused());
    }
    // The coordinator: its own plan comes, the others' are asked for.
    family.caches.front() = std::make_shared<PlanCache>();
    EXPECT(family.Save(5));
    EXPECT(family.Was(ranks > 1 ? 2 : 1, none));
    EXPECT(family.Save(6));
    EXPECT(family.WasReused());
    // Another coordinator knows nobody; the first one still does when it is its turn again.
    if (ranks > 1) {
      family.options.coordinator = 1;
      EXPECT(family.Save(7));
      EXPECT(family.Was(2, none));
      EXPECT(family.Save(8));
      EXPECT(family.WasReused());
      family.options.coordinator = 0;
      EXPECT(family.Save(9));
      EXPECT(family.WasReused());
    }
    // Other world sizes.
    family.Resize(ranks + 2);
    EXPECT(family.Save(10));
    EXPECT(family.Save(11));
    EXPECT(family.WasReused());
    family.Resize(ranks);
    EXPECT(family.Save(12));
    EXPECT(family.Save(13));
    EXPECT(family.WasReused());
  }
  return {};
}

std::string AFailureInBetween() {
  if (!HasSha256()) return {};
  for (const int32_t ranks : {1, 3, 4}) {
    // Of the last rank, and of the coordinator's commit.
    for (const char* line : {"list", "write __", "finish __", "create .metadata"}) {
      Family family(ranks);
      EXPECT(family.Save(1));
      EXPECT(family.Save(2));
      FaultStore broken(family.cached);
      broken.FailLine(line, kBroken);
      std::vector<Store*> stores = family.Everywhere(family.cached.get());
      const bool commit = std::string_view(line) == "create .metadata";
      (commit ? stores.front() : stores.back()) = &broken;
      for (const RankOutcome& outcome : family.Run(3, true, stores)) {
        CHECK_CODE(outcome.status, ranks == 1 ? Code::kIo : Code::kRankFailed);
        CHECK_THAT(outcome.status.rank_failures().size() == 1);
        CHECK_THAT(outcome.status.rank_failures()[0].rank == (commit ? 0 : ranks - 1));
      }
      EXPECT(family.LoadsAs(2));
      // The coordinator has forgotten.
      EXPECT(family.Save(4));
      EXPECT(family.Was(2, std::vector<bool>(family.caches.size(), false)));
      EXPECT(family.Save(5));
      EXPECT(family.WasReused());
    }
  }
  return {};
}

// In the round that asks for whole plans.
std::string FailuresOfTheSecondRound() {
  if (!HasSha256()) return {};
  Family family(3);
  EXPECT(family.Save(1));
  family.caches.front() = std::make_shared<PlanCache>();
  // A shape of the whole that the others do not have: found when the plans are merged.
  std::vector<RankOutcome> outcomes(3);
  ThreadGroup(3).Run([&](Communicator& comm) {
    const auto rank = static_cast<size_t>(comm.rank());
    SaveOptions options = family.options;
    options.plan_cache = family.caches[rank];
    const ValuePtr state =
        rank == 0 ? DictOf({{"shared", RankState(0, 4, 2)}}) : family.State(comm.rank(), 2);
    outcomes[rank].status = Save(*family.cached, comm, *state, options, Engine()).status();
  });
  for (const RankOutcome& outcome : outcomes) {
    CHECK_CODE(outcome.status, Code::kRankFailed);
    CHECK_THAT(outcome.status.rank_failures().size() == 1);
    CHECK_THAT(outcome.status.rank_failures()[0].rank == 0);
    CHECK_THAT(outcome.status.rank_failures()[0].step == "plan");
  }
  EXPECT(family.LoadsAs(1));
  EXPECT(family.Save(3));
  EXPECT(family.Save(4));
  return family.WasReused();
}

std::string OneSaveAtATime() {
  if (!HasSha256()) return {};
  for (const int32_t ranks : {1, 3}) {
    Family family(ranks);
    EXPECT(family.Save(1));
    CHECK_OK(family.caches.back()->Take());
    for (const RankOutcome& outcome : family.Run(2, true, family.Everywhere(family.cached.get()))) {
      CHECK_CODE(outcome.status, ranks == 1 ? Code::kInvalidArgument : Code::kRankFailed);
      CHECK_THAT(outcome.status.rank_failures().size() == 1);
      CHECK_THAT(outcome.status.rank_failures()[0].rank == ranks - 1);
      CHECK_CODE(outcome.status.rank_failures()[0].status, Code::kInvalidArgument);
    }
    EXPECT(family.LoadsAs(1));
    family.caches.back()->Leave();
    EXPECT(family.Save(3));
    EXPECT(family.Save(4));
    EXPECT(family.WasReused());
  }
  return {};
}

// On some ranks only: nobody waits, nobody commits.
std::string NotOnSomeRanksOnly() {
  if (!HasSha256()) return {};
  for (const size_t with : {0, 2}) {
    Family family(3);
    std::vector<Status> statuses(3);
    ThreadGroup(3).Run([&](Communicator& comm) {
      const auto rank = static_cast<size_t>(comm.rank());
      SaveOptions options = family.options;
      if (rank == with) options.plan_cache = family.caches[rank];
      const ValuePtr state = family.State(comm.rank(), 1);
      statuses[rank] = Save(*family.cached, comm, *state, options, Engine()).status();
    });
    for (const Status& status : statuses) CHECK_CODE(status, Code::kRankFailed);
    CHECK_THAT(family.cached->List()->empty());
  }
  return {};
}

struct NoPlanner final : SavePlanner {
  Status SetUp(const ValuePtr&, bool) override { return kBroken; }
  Status CreateLocalPlan(const std::function<Result<SavePlan>()>&, SavePlan*) override {
    return kBroken;
  }
  bool plans_globally() const override { return false; }
  Status CreateGlobalPlan(std::vector<SavePlan>*) override { return kBroken; }
  Status FinishPlan(SavePlan*) override { return kBroken; }
  bool resolves_data() const override { return false; }
  Result<ValuePtr> ResolveData(const SavePlan&, size_t, ValuePtr) override { return kBroken; }
};

struct NoWriter final : StorageWriter {
  std::string_view location() const override { return "nowhere"; }
  std::string checkpoint_id() const override { return "nothing"; }
  Status SetUp(const SaveSite&) override { return kBroken; }
  Status PrepareLocalPlan(SavePlan*) override { return kBroken; }
  Status PrepareGlobalPlan(std::vector<SavePlan>*) override { return kBroken; }
  Result<Written> WriteData(const WriteRequest&) override { return kBroken; }
  Result<bool> Finish(Commit, std::vector<std::string>*) override { return kBroken; }
};

std::string WhatCannotBeCachedIsRefused() {
  const std::unique_ptr<Store> store = NewMemoryStore();
  const std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  const ValuePtr state = SampleState(1);
  SaveOptions options;
  options.plan_cache = std::make_shared<PlanCache>();
  options.planner = std::make_shared<NoPlanner>();
  auto refused = Save(*store, *comm, *state, options, Engine());
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("planner") != std::string::npos);
  options.planner = nullptr;
  options.use_collectives = false;
  refused = Save(*store, *comm, *state, options, Engine());
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("collectives") != std::string::npos);
  options.use_collectives = true;
  NoWriter writer;
  refused = Save(writer, *comm, state, options, Engine());
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("storage writer") != std::string::npos);
  CHECK_THAT(store->List()->empty());
  if (!HasSha256()) {
    refused = Save(*store, *comm, *state, options, Engine());
    CHECK_CODE(refused, Code::kUnsupported);
    CHECK_THAT(refused.status().message().find("SHA-256") != std::string::npos);
    return {};
  }
  CHECK_OK(Save(*store, *comm, *state, options, Engine()));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::TheSameLayoutIsReused>),
      cmocka_unit_test(dcp::Checked<dcp::ChangesArePlannedAnew>),
      cmocka_unit_test(dcp::Checked<dcp::FreshCachesAreTold>),
      cmocka_unit_test(dcp::Checked<dcp::AFailureInBetween>),
      cmocka_unit_test(dcp::Checked<dcp::FailuresOfTheSecondRound>),
      cmocka_unit_test(dcp::Checked<dcp::OneSaveAtATime>),
      cmocka_unit_test(dcp::Checked<dcp::NotOnSomeRanksOnly>),
      cmocka_unit_test(dcp::Checked<dcp::WhatCannotBeCachedIsRefused>),
  };
  return cmocka_run_group_tests_name("checkpoint/cached_save", tests, nullptr, nullptr);
}
