#include "checkpoint/commit.h"

#include <algorithm>

#include "reader/metadata_files.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"

namespace dcp {
namespace {

using Lines = std::vector<std::string>;
using Effect = FaultStore::Effect;
using Times = FaultStore::Times;

const Status kBroken(Code::kIo, "the disk is on fire");

void Put(Store& store, std::string_view name, std::string_view text = "x") {
  static_cast<void>(WriteWholeFile(store, name, AsBytes(text), false));
}

Lines NamesIn(const Store& store) {
  Lines names = *store.List();
  std::sort(names.begin(), names.end());
  return names;
}

std::string NamesOfDataFiles() {
  CHECK_THAT(DataFileName(0, 0, 0) == "__0_0.distcp");
  CHECK_THAT(DataFileName(12, 345, 0) == "__12_345.distcp");
  CHECK_THAT(DataFileName(3, 0, 7) == "__3_0.g7.distcp");
  for (uint64_t generation : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 62}) {
    DataFile file;
    CHECK_THAT(ParseDataFileName(DataFileName(2147483647, 99, generation), &file));
    CHECK_THAT(file.rank == 2147483647 && file.n == 99 && file.generation == generation);
  }
  for (std::string_view name : {"",
                                "__0_0",
                                "__0_0.distcp ",
                                "_0_0.distcp",
                                "__00_0.distcp",
                                "__0_00.distcp",
                                "__0_0.g0.distcp",
                                "__0_0.g01.distcp",
                                "__0_0.g.distcp",
                                "__-1_0.distcp",
                                "__+1_0.distcp",
                                "__2147483648_0.distcp",
                                "__0_18446744073709551616.distcp",
                                "__0_0.g1.distcp.tmp",
                                "__0_0.g4611686018427387905.distcp",
                                "__0_0.gg1.distcp",
                                "x__0_0.distcp",
                                "__0_0.DISTCP",
                                "__0.distcp",
                                "__0_.distcp",
                                "___0.distcp",
                                ".metadata",
                                "__0.metadata"}) {
    DataFile file;
    if (ParseDataFileName(name, &file)) return std::string(name) + " is no data file of ours";
  }
  int32_t rank = -1;
  CHECK_THAT(ParseRankMetadataName("__17.metadata", &rank) && rank == 17);
  for (std::string_view name : {"__.metadata", "__01.metadata", "__1.metadata.tmp", "__-1.metadata",
                                ".metadata", "_1.metadata", "__99999999999.metadata"}) {
    if (ParseRankMetadataName(name, &rank)) return std::string(name) + " is no metadata of a rank";
  }
  return {};
}

std::string GenerationsNeverGoBack() {
  std::unique_ptr<Store> store = NewMemoryStore();
  auto empty = InspectFolder(*store);
  CHECK_OK(empty);
  CHECK_THAT(!empty->committed && empty->next_generation == 0);
  Put(*store, "notes.txt");
  CHECK_THAT(InspectFolder(*store)->next_generation == 0);
  Put(*store, "__0_0.distcp");
  CHECK_THAT(InspectFolder(*store)->next_generation == 1);
  CHECK_THAT(!InspectFolder(*store)->committed);
  Put(*store, "__5_1.g8.distcp");
  Put(*store, "__1_0.g3.distcp");
  CHECK_THAT(InspectFolder(*store)->next_generation == 9);
  Put(*store, ".metadata");
  CHECK_THAT(InspectFolder(*store)->committed);
  Put(*store, "__0_0.g4611686018427387904.distcp");
  CHECK_CODE(InspectFolder(*store), Code::kLimit);

  std::unique_ptr<Store> lone = NewMemoryStore();
  Put(*lone, ".metadata");
  CHECK_THAT(InspectFolder(*lone)->next_generation == 1);
  std::unique_ptr<Store> ranks = NewMemoryStore();
  Put(*ranks, "__1.metadata");
  CHECK_THAT(InspectFolder(*ranks)->next_generation == 1);
  CHECK_THAT(!InspectFolder(*ranks)->committed);
  Put(*ranks, "__0.metadata");
  CHECK_THAT(InspectFolder(*ranks)->committed);
  return {};
}

std::string OverwritingMustBeAllowed() {
  std::unique_ptr<Store> store = NewMemoryStore();
  FolderState folder;
  CHECK_OK(CheckOverwrite(*store, folder, false));
  folder.committed = true;
  CHECK_OK(CheckOverwrite(*store, folder, true));
  Status refused = CheckOverwrite(*store, folder, false);
  CHECK_CODE(refused, Code::kAlreadyExists);
  CHECK_THAT(refused.message().find("Checkpoint already exists") == 0);
  CHECK_THAT(refused.message().find(store->location()) != std::string::npos);
  return {};
}

std::string AMissingFolderIsEmpty() {
  auto store = std::make_shared<FaultStore>(NewMemoryStore());
  store->FailLine("list", Status(Code::kNotFound, "no such folder"));
  auto folder = InspectFolder(*store);
  CHECK_OK(folder);
  CHECK_THAT(folder->files.empty() && folder->next_generation == 0);
  store->FailLine("list", kBroken);
  CHECK_CODE(InspectFolder(*store), Code::kIo);
  return {};
}

const CommitNames kNames = CommitNamesFor(".metadata", "an-id");

Result<CommitOutcome> Commit(Store& store, std::string_view encoded, bool durable) {
  return CommitMetadata(
      store, kNames, [&](const ByteSink& sink) { return sink(AsBytes(encoded)); }, durable);
}

std::string CommitsInOrder() {
  FaultStore store(NewMemoryStore());
  auto outcome = Commit(store, "new", true);
  CHECK_OK(outcome);
  CHECK_THAT(outcome->synced && outcome->warnings.empty());
  const Lines expected = {"list",
                          "create .metadata.an-id.tmp",
                          "write .metadata.an-id.tmp 0+3",
                          "written .metadata.an-id.tmp",
                          "finish .metadata.an-id.tmp 3 durable",
                          "sync_folder",
                          "rename .metadata.an-id.tmp .metadata",
                          "sync_folder"};
  CHECK_THAT(store.Lines() == expected);
  CHECK_THAT(*ReadWholeFile(store, ".metadata", 100) == "new");
  store.ClearCalls();
  CHECK_OK(Commit(store, "newer", false));
  for (const std::string& line : store.Lines()) {
    CHECK_THAT(line != "sync_folder");
    CHECK_THAT(line.find("durable") == std::string::npos);
  }
  return {};
}

std::string TemporaryNamesAreRead() {
  std::string metadata;
  CHECK_THAT(ParseTemporaryName(".metadata.tmp", &metadata) && metadata == ".metadata");
  CHECK_THAT(ParseTemporaryName(".metadata.id.tmp", &metadata) && metadata == ".metadata");
  CHECK_THAT(ParseTemporaryName("__3.metadata.id.tmp", &metadata) && metadata == "__3.metadata");
  for (std::string_view name : {".metadata", "__3.metadata", "x.metadata.tmp", ".metadata..tmp",
                                ".metadatax.tmp", "__03.metadata.tmp", "__0_0.distcp.tmp"}) {
    if (ParseTemporaryName(name, &metadata)) return std::string(name) + " is not temporary";
  }
  return {};
}

// What a save that sleeps has written cannot be renamed over this one's metadata.
std::string UnfinishedCommitsGo() {
  FaultStore store(NewMemoryStore());
  for (const char* name : {".metadata.tmp", ".metadata.other.tmp", "__1.metadata.other.tmp"}) {
    Put(store, name, "unfinished");
  }
  CHECK_OK(Commit(store, "new", true));
  CHECK_THAT((NamesIn(store) == Lines{".metadata", "__1.metadata.other.tmp"}));
  CHECK_CODE(store.Rename(".metadata.other.tmp", ".metadata"), Code::kNotFound);
  // Where it cannot be removed nothing is committed.
  Put(store, ".metadata.other.tmp", "unfinished");
  store.FailLine("remove .metadata.other.tmp", kBroken);
  CHECK_CODE(Commit(store, "newer", true), Code::kIo);
  CHECK_THAT(*ReadWholeFile(store, ".metadata", 100) == "new");
  return {};
}

// A store with an old checkpoint's metadata and faults to come.
std::unique_ptr<FaultStore> StoreWithOld() {
  auto store = std::make_unique<FaultStore>(NewMemoryStore());
  Put(*store, ".metadata", "old");
  store->ClearCalls();
  return store;
}

std::string FaultsBeforeTheRenameKeepTheOld() {
  for (size_t call = 0; call < 6; ++call) {
    std::unique_ptr<FaultStore> store = StoreWithOld();
    store->FailCall(call, kBroken);
    CHECK_CODE(Commit(*store, "new", true), Code::kIo);
    CHECK_THAT(*ReadWholeFile(*store, ".metadata", 100) == "old");
    CHECK_THAT(NamesIn(*store) == Lines{".metadata"});
  }
  return {};
}

std::string AFailedRenameIsLookedUp() {
  {
    std::unique_ptr<FaultStore> store = StoreWithOld();
    store->FailLine("rename", kBroken);
    CHECK_CODE(Commit(*store, "new", true), Code::kIo);
    CHECK_THAT(NamesIn(*store) == Lines{".metadata"});
  }
  {
    std::unique_ptr<FaultStore> store = StoreWithOld();
    store->FailLine("rename", kBroken, Times::kOnce, Effect::kAfter);
    auto outcome = Commit(*store, "new", true);
    CHECK_OK(outcome);
    CHECK_THAT(outcome->synced && outcome->warnings.size() == 1);
    CHECK_THAT(*ReadWholeFile(*store, ".metadata", 100) == "new");
  }
  std::unique_ptr<FaultStore> store = StoreWithOld();
  store->FailLine("rename", kBroken, Times::kOnce, Effect::kAfter);
  store->FailLine("open .metadata", kBroken);
  CHECK_CODE(Commit(*store, "new", true), Code::kOutcomeUnknown);
  CHECK_THAT(*ReadWholeFile(*store, ".metadata", 100) == "new");
  return {};
}

// `.metadata` is compared piece by piece, to its end.
std::string PiecesAreReadBack() {
  struct Case {
    const char* there;  // what the folder holds after a rename that failed
    Code code;
  };
  for (const Case& c :
       {Case{"one, two", Code::kOk}, Case{"one, twO", Code::kIo}, Case{"oNe, two", Code::kIo},
        Case{"one, tw", Code::kIo}, Case{"one, two.", Code::kIo}, Case{"", Code::kIo}}) {
    auto store = std::make_unique<FaultStore>(NewMemoryStore());
    Put(*store, ".metadata", c.there);
    store->FailLine("rename", kBroken);
    auto outcome = CommitMetadata(
        *store, kNames,
        [](const ByteSink& sink) -> Status {
          DCP_RETURN_IF_ERROR(sink(AsBytes("one, ")));
          return sink(AsBytes("two"));
        },
        true);
    CHECK_CODE(outcome, c.code);
    CHECK_THAT(*ReadWholeFile(*store, ".metadata", 100) == c.there);
  }
  // A producer that fails leaves the old file.
  std::unique_ptr<FaultStore> store = StoreWithOld();
  const auto broken = [](const ByteSink& sink) -> Status {
    DCP_RETURN_IF_ERROR(sink(AsBytes("one, ")));
    return kBroken;
  };
  CHECK_CODE(CommitMetadata(*store, kNames, broken, true), Code::kIo);
  CHECK_THAT(*ReadWholeFile(*store, ".metadata", 100) == "old");
  CHECK_THAT(NamesIn(*store) == Lines{".metadata"});
  return {};
}

std::string AFailedLastSyncIsSaid() {
  std::unique_ptr<FaultStore> store = StoreWithOld();
  store->FailCall(7, kBroken);
  auto outcome = Commit(*store, "new", true);
  CHECK_OK(outcome);
  CHECK_THAT(!outcome->synced);
  CHECK_THAT(outcome->warnings.size() == 1);
  CHECK_THAT(outcome->warnings[0].find("power cut") != std::string::npos);

  store = StoreWithOld();
  store->FailCall(7, kBroken, Times::kFromThenOn);
  CHECK_CODE(Commit(*store, "new", true), Code::kOutcomeUnknown);
  return {};
}

std::string OnlyStaleFilesOfOursGo() {
  std::unique_ptr<Store> inner = NewMemoryStore();
  for (std::string_view name :
       {".metadata", ".metadata.tmp", ".metadata.other-id.tmp", "__0.metadata", "__1.metadata",
        "__1.metadata.id.tmp", "__2.metadata", ".metadata.bak.tmp.x", "__0_0.distcp",
        "__0_0.g1.distcp", "__0_1.g1.distcp", "__1_0.distcp", "__2_0.distcp", "__7_0.g4.distcp",
        "notes.txt", "__0_0.distcp.bak", "model.safetensors"}) {
    Put(*inner, name);
  }
  FaultStore store(std::move(inner));
  const std::set<std::string> keep{"__0_0.g1.distcp", ".metadata"};
  // Rank 1 of 2 removes what is its own.
  CHECK_THAT(RemoveStale(store, keep, 1, 2, false).empty());
  CHECK_THAT(
      (NamesIn(store) == Lines{".metadata", ".metadata.bak.tmp.x", ".metadata.other-id.tmp",
                               ".metadata.tmp", "__0.metadata", "__0_0.distcp", "__0_0.distcp.bak",
                               "__0_0.g1.distcp", "__0_1.g1.distcp", "__2.metadata", "__2_0.distcp",
                               "__7_0.g4.distcp", "model.safetensors", "notes.txt"}));
  // The coordinator removes its own and those of ranks that are no more; a failure is told.
  store.FailLine("remove __7_0.g4.distcp", kBroken);
  std::vector<std::string> warnings = RemoveStale(store, keep, 0, 2, true);
  CHECK_THAT(warnings.size() == 1);
  CHECK_THAT(warnings[0].find("__7_0.g4.distcp") != std::string::npos);
  CHECK_THAT((NamesIn(store) == Lines{".metadata", ".metadata.bak.tmp.x", "__0_0.distcp.bak",
                                      "__0_0.g1.distcp", "__7_0.g4.distcp", "model.safetensors",
                                      "notes.txt"}));
  store.FailLine("list", kBroken);
  CHECK_THAT(RemoveStale(store, keep, 0, 2, true).size() == 1);
  CHECK_THAT((RemoveFiles(store, {"notes.txt", "never there"}).empty()));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::NamesOfDataFiles>),
      cmocka_unit_test(dcp::Checked<dcp::GenerationsNeverGoBack>),
      cmocka_unit_test(dcp::Checked<dcp::OverwritingMustBeAllowed>),
      cmocka_unit_test(dcp::Checked<dcp::AMissingFolderIsEmpty>),
      cmocka_unit_test(dcp::Checked<dcp::CommitsInOrder>),
      cmocka_unit_test(dcp::Checked<dcp::TemporaryNamesAreRead>),
      cmocka_unit_test(dcp::Checked<dcp::UnfinishedCommitsGo>),
      cmocka_unit_test(dcp::Checked<dcp::FaultsBeforeTheRenameKeepTheOld>),
      cmocka_unit_test(dcp::Checked<dcp::AFailedRenameIsLookedUp>),
      cmocka_unit_test(dcp::Checked<dcp::PiecesAreReadBack>),
      cmocka_unit_test(dcp::Checked<dcp::AFailedLastSyncIsSaid>),
      cmocka_unit_test(dcp::Checked<dcp::OnlyStaleFilesOfOursGo>),
  };
  return cmocka_run_group_tests_name("checkpoint/commit", tests, nullptr, nullptr);
}
