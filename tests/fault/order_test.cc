// The recorded order of a save's store calls (new, overwriting, several files), and that taking
// out any one sync is noticed: in the log, and in a save that leaves it out.
#include "fault/commit_order.h"
#include "fault/saves.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

using Lines = std::vector<std::string>;

struct Recorded {
  Lines lines;
  Status status;
};

Recorded Record(std::shared_ptr<Store> inner, const SaveOptions& options, bool overwriting,
                const std::string& leave_out = "") {
  FaultStore store(std::move(inner));
  Recorded recorded;
  if (overwriting) recorded.status = SaveNumber(store, 1, options).status();
  if (!recorded.status.ok()) return recorded;
  store.ClearCalls();
  if (!leave_out.empty()) store.LeaveOut(leave_out);
  recorded.status = SaveNumber(store, 2, options).status();
  recorded.lines = store.Lines();
  return recorded;
}

std::string CheckRecord(const Recorded& recorded, size_t syncs_expected) {
  CHECK_OK(recorded.status);
  std::string wrong = CheckCommitOrder(recorded.lines);
  if (!wrong.empty()) return wrong;
  std::vector<size_t> syncs = SyncLines(recorded.lines);
  CHECK_THAT(syncs.size() == syncs_expected);
  for (size_t sync : syncs) {
    Lines without = recorded.lines;
    without.erase(without.begin() + static_cast<ptrdiff_t>(sync));
    if (CheckCommitOrder(without).empty()) {
      return fmt::format("nobody misses '{}'", recorded.lines[sync]);
    }
  }
  return {};
}

// One for each data file, the folder, the metadata, the folder.
std::string InOrderAndNoSyncTooMany() {
  for (bool local : {false, true}) {
    for (bool overwriting : {false, true}) {
      for (int32_t files : {1, 3}) {
        TempFolder folder;
        SaveOptions options;
        options.files = files;
        std::shared_ptr<Store> store = NewMemoryStore();
        if (local) {
          auto opened = OpenStore(folder.path(), LocalStoreOptions());
          CHECK_OK(opened);
          store = *std::move(opened);
        }
        Recorded recorded = Record(store, options, overwriting);
        std::string wrong = CheckRecord(recorded, static_cast<size_t>(files) + 3);
        if (!wrong.empty()) return wrong;
        size_t removals = 0;
        for (const std::string& line : recorded.lines) removals += line.starts_with("remove ");
        CHECK_THAT(removals == (overwriting ? static_cast<size_t>(files) : 0));
      }
    }
  }
  return {};
}

// The save itself, without a sync: the checker says so.
std::string SavesThatLeaveOutASync() {
  for (const char* sync : {"sync_folder", "finish __0_0.g1.distcp", "finish .metadata."}) {
    Recorded recorded = Record(NewMemoryStore(), SaveOptions(), true, sync);
    CHECK_OK(recorded.status);
    if (CheckCommitOrder(recorded.lines).empty()) return fmt::format("nobody misses {}", sync);
  }
  SaveOptions volatile_save;
  volatile_save.durable = false;
  Recorded recorded = Record(NewMemoryStore(), volatile_save, true);
  CHECK_OK(recorded.status);
  CHECK_THAT(!CheckCommitOrder(recorded.lines).empty());
  CHECK_THAT(SyncLines(recorded.lines).empty());
  return {};
}

std::string OtherOrdersAreRefused() {
  const Lines good = Record(NewMemoryStore(), SaveOptions(), true).lines;
  CHECK_THAT(CheckCommitOrder(good).empty());
  auto at = [&](const std::string& prefix) {
    size_t i = 0;
    while (i < good.size() && !good[i].starts_with(prefix)) ++i;
    return i;
  };
  auto moved = [&](size_t from, size_t to) {
    Lines lines = good;
    std::string line = lines[from];
    lines.erase(lines.begin() + static_cast<ptrdiff_t>(from));
    lines.insert(lines.begin() + static_cast<ptrdiff_t>(to), line);
    return lines;
  };
  const size_t rename = at("rename"), removal = at("remove"), first_sync = at("sync_folder");
  CHECK_THAT(removal < good.size());
  CHECK_THAT(!CheckCommitOrder(moved(removal, rename)).empty());
  CHECK_THAT(!CheckCommitOrder(moved(removal, rename + 1)).empty());
  CHECK_THAT(!CheckCommitOrder(moved(rename, first_sync)).empty());
  CHECK_THAT(!CheckCommitOrder(moved(first_sync, 0)).empty());
  CHECK_THAT(!CheckCommitOrder(moved(at("written __"), rename)).empty());
  CHECK_THAT(!CheckCommitOrder(moved(at("finish .metadata."), rename)).empty());
  Lines removed_first = good;
  removed_first.insert(removed_first.begin() + static_cast<ptrdiff_t>(rename), "remove .metadata");
  CHECK_THAT(!CheckCommitOrder(removed_first).empty());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::InOrderAndNoSyncTooMany>),
      cmocka_unit_test(dcp::Checked<dcp::SavesThatLeaveOutASync>),
      cmocka_unit_test(dcp::Checked<dcp::OtherOrdersAreRefused>),
  };
  return cmocka_run_group_tests_name("fault/order", tests, nullptr, nullptr);
}
