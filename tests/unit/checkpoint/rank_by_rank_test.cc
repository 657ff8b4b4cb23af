// Saves without collectives: each rank commits what it has.
#include <algorithm>

#include "checkpoint/load.h"
#include "checkpoint/save.h"
#include "reader/metadata_files.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/rank_state.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

using Lines = std::vector<std::string>;

constexpr int32_t kRanks = 3;
const Status kBroken(Code::kIo, "the disk is on fire");

Lines NamesIn(const Store& store) {
  Lines names = *store.List();
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Status> SaveOnRanks(const std::vector<Store*>& stores, uint64_t seed,
                                bool use_collectives) {
  const auto ranks = static_cast<int32_t>(stores.size());
  ThreadGroup group(ranks);
  std::vector<Status> statuses(stores.size());
  SaveOptions options;
  options.use_collectives = use_collectives;
  options.coordinator = 1;
  group.Run([&](Communicator& comm) {
    const auto rank = static_cast<size_t>(comm.rank());
    statuses[rank] =
        Save(*stores[rank], comm, *RankState(comm.rank(), ranks, seed), options, Engine()).status();
  });
  return statuses;
}

// What one rank reads of it is what `seed` made.
std::string Holds(const Store& store, uint64_t seed) {
  ValuePtr whole = Value::Of(PatternTensor(DType::kFloat32, {2 * kRanks, 3}, 99));
  ValuePtr replicated = Value::Of(PatternTensor(DType::kInt32, {5}, 98));
  ValuePtr target = DictOf({{"sharded", whole},
                            {"replicated", replicated},
                            {"own", DictOf({{"rank2", Value::None()}})},
                            {"step", Value::None()}});
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  auto loaded = Load(store, *comm, *target, {}, Engine());
  CHECK_OK(loaded);
  CHECK_THAT(loaded->report.uncovered.empty());
  CHECK_THAT(EqualElements(whole->tensor, PatternTensor(DType::kFloat32, {6, 3}, seed)));
  CHECK_THAT(EqualElements(replicated->tensor, PatternTensor(DType::kInt32, {5}, seed)));
  CHECK_THAT(loaded->objects.size() == 2);
  CHECK_THAT(Equal(*loaded->objects[1].second, *Value::Int(static_cast<int64_t>(seed))));
  return {};
}

std::string EachRankCommitsItsOwn() {
  std::unique_ptr<Store> store = NewMemoryStore();
  const std::vector<Store*> three(kRanks, store.get());
  for (const Status& status : SaveOnRanks(three, 1, false)) CHECK_OK(status);
  CHECK_THAT((NamesIn(*store) == Lines{"__0.metadata", "__0_0.distcp", "__1.metadata",
                                       "__1_0.distcp", "__2.metadata", "__2_0.distcp"}));
  std::string wrong = Holds(*store, 1);
  if (!wrong.empty()) return wrong;
  // One save, though each rank has a file of its own.
  auto committed = ReadCommittedMetadata(*store);
  CHECK_OK(committed);
  CHECK_THAT(committed->metadata.merged && committed->metadata.notes.empty());

  // Over it, with collectives, and the other way round: readers see one of them, files go.
  for (const Status& status : SaveOnRanks(three, 2, true)) CHECK_OK(status);
  CHECK_THAT((NamesIn(*store) ==
              Lines{".metadata", "__0_0.g1.distcp", "__1_0.g1.distcp", "__2_0.g1.distcp"}));
  wrong = Holds(*store, 2);
  if (!wrong.empty()) return wrong;
  for (const Status& status : SaveOnRanks(three, 3, false)) CHECK_OK(status);
  CHECK_THAT((NamesIn(*store) == Lines{"__0.metadata", "__0_0.g2.distcp", "__1.metadata",
                                       "__1_0.g2.distcp", "__2.metadata", "__2_0.g2.distcp"}));
  wrong = Holds(*store, 3);
  if (!wrong.empty()) return wrong;
  for (const Status& status : SaveOnRanks(three, 4, false)) CHECK_OK(status);
  CHECK_THAT(NamesIn(*store).size() == 6);
  return Holds(*store, 4);
}

// Up to the end of the write nothing of the older checkpoint was touched, on any rank.
std::string FailuresLeaveTheOlderOne() {
  for (bool older_together : {false, true}) {
    for (const char* line : {"list", "create __", "write __1_", "finish __1_", "sync_folder",
                             "create __1.metadata.", "finish __1.metadata."}) {
      std::shared_ptr<Store> store = NewMemoryStore();
      std::vector<Store*> stores(kRanks, store.get());
      for (const Status& status : SaveOnRanks(stores, 1, older_together)) CHECK_OK(status);
      const Lines before = NamesIn(*store);
      FaultStore broken(store);
      broken.FailLine(line, kBroken);
      stores[1] = &broken;
      for (const Status& status : SaveOnRanks(stores, 2, false)) {
        CHECK_CODE(status, Code::kRankFailed);
        CHECK_THAT(status.rank_failures().size() == 1 && status.rank_failures()[0].rank == 1);
      }
      if (NamesIn(*store) != before) return fmt::format("other files after a failed '{}'", line);
      std::string wrong = Holds(*store, 1);
      if (!wrong.empty()) return wrong;
    }
  }
  return {};
}

// Some ranks' metadata are in place when another's cannot be renamed: over a checkpoint made with
// collectives that one still stands, over one made without nothing is read that is a mix.
std::string AFailedRenameIsNoMix() {
  for (bool older_together : {false, true}) {
    std::shared_ptr<Store> store = NewMemoryStore();
    std::vector<Store*> stores(kRanks, store.get());
    for (const Status& status : SaveOnRanks(stores, 1, older_together)) CHECK_OK(status);
    FaultStore broken(store);
    broken.FailLine("rename", kBroken);
    stores[1] = &broken;
    const std::vector<Status> statuses = SaveOnRanks(stores, 2, false);
    CHECK_CODE(statuses[0], Code::kOutcomeUnknown);
    CHECK_CODE(statuses[1], Code::kRankFailed);
    CHECK_CODE(statuses[2], Code::kOutcomeUnknown);
    for (const Status& status : statuses) {
      CHECK_THAT(status.rank_failures().size() == 1 && status.rank_failures()[0].rank == 1);
    }
    if (older_together) {
      std::string wrong = Holds(*store, 1);
      if (!wrong.empty()) return wrong;
    } else {
      auto committed = ReadCommittedMetadata(*store);
      CHECK_CODE(committed, Code::kCorrupt);
      CHECK_THAT(committed.status().message().find("of two saves") != std::string::npos);
    }
    // The next save mends it.
    stores[1] = store.get();
    for (const Status& status : SaveOnRanks(stores, 3, false)) CHECK_OK(status);
    std::string wrong = Holds(*store, 3);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::EachRankCommitsItsOwn>),
      cmocka_unit_test(dcp::Checked<dcp::FailuresLeaveTheOlderOne>),
      cmocka_unit_test(dcp::Checked<dcp::AFailedRenameIsNoMix>),
  };
  return cmocka_run_group_tests_name("checkpoint/rank_by_rank", tests, nullptr, nullptr);
}
