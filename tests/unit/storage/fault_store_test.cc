// The fault wrapper itself: what it writes down, fails and leaves out.
#include "support/fault_store.h"

#include "storage/open.h"
#include "support/checks.h"

namespace dcp {
namespace {

using Lines = std::vector<std::string>;
using Times = FaultStore::Times;
using Effect = FaultStore::Effect;

const Status kBroken(Code::kIo, "broken");

std::string EveryCallIsALine() {
  FaultStore store(NewMemoryStore());
  store.KeepData(true);
  CHECK_OK(store.MakeRoot());
  CHECK_OK(WriteWholeFile(store, "a", AsBytes("12345"), true));
  CHECK_OK(WriteWholeFile(store, "b", {}, false));
  CHECK_OK(store.Create("c", {}));
  {
    auto file = store.Open("a");
    CHECK_OK(file);
    std::byte out[3];
    CHECK_OK((*file)->ReadAt(1, out));
    auto queue = (*file)->NewQueue(true);
    CHECK_OK(queue);
    CHECK_OK((*queue)->Start(2, out, 0));
    CHECK_OK((*queue)->Wait());
    CHECK_OK((*file)->NewQueue(false));
    CHECK_OK((*file)->Map(0, 5));
  }
  CHECK_OK(store.Rename("a", "d"));
  CHECK_OK(store.Remove("d"));
  CHECK_OK(store.List());
  CHECK_OK(store.SyncFolder());
  const Lines expected = {"make_root",
                          "create a",
                          "write a 0+5",
                          "written a",
                          "finish a 5 durable",
                          "create b",
                          "finish b 0 volatile",
                          "create c",
                          "abandon c",
                          "open a",
                          "read a 1+3",
                          "queue a cold",
                          "fetch a 2+3",
                          "fetched a",
                          "queue a warm",
                          "map a 0+5",
                          "rename a d",
                          "remove d",
                          "list",
                          "sync_folder"};
  CHECK_THAT(store.Lines() == expected);
  CHECK_THAT(store.call_count() == expected.size());
  CHECK_THAT(store.Calls()[2].data == "12345");
  store.ClearCalls();
  CHECK_THAT(store.Lines().empty());
  return {};
}

std::string CallsFailByNumber() {
  for (size_t number = 0; number < 6; ++number) {
    for (Times times : {Times::kOnce, Times::kFromThenOn}) {
      FaultStore store(NewMemoryStore());
      store.FailCall(number, kBroken, times);
      Status status = WriteWholeFile(store, "a", AsBytes("x"), true);  // four calls
      CHECK_CODE(status, number < 4 ? Code::kIo : Code::kOk);
      bool failed_again = !store.SyncFolder().ok() || !store.List().ok();
      CHECK_THAT(failed_again == (number >= 4 || times == Times::kFromThenOn));
      CHECK_THAT(store.Calls()[number].failed);
      store.Heal();
      CHECK_OK(store.SyncFolder());
    }
  }
  return {};
}

std::string EffectsAndPrefixes() {
  FaultStore store(NewMemoryStore());
  CHECK_OK(WriteWholeFile(store, "a", AsBytes("x"), true));
  store.FailLine("rename a", kBroken, Times::kOnce, Effect::kAfter);
  CHECK_CODE(store.Rename("a", "b"), Code::kIo);
  CHECK_OK(store.Open("b"));  // it was made all the same
  store.FailLine("remove", kBroken);
  CHECK_CODE(store.Remove("b"), Code::kIo);
  CHECK_OK(store.Open("b"));
  CHECK_OK(store.Remove("b"));
  store.FailLine("open", kBroken, Times::kFromThenOn);
  CHECK_CODE(store.Open("b"), Code::kIo);
  CHECK_CODE(store.Open("b"), Code::kIo);
  return {};
}

std::string LeftOutCalls() {
  auto inner = std::make_shared<FaultStore>(NewMemoryStore());
  FaultStore store(inner);
  store.LeaveOut("sync_folder");
  store.LeaveOut("finish a");
  store.LeaveOut("remove");
  CHECK_OK(WriteWholeFile(store, "a", AsBytes("x"), true));
  CHECK_OK(store.SyncFolder());
  CHECK_OK(store.Remove("a"));
  CHECK_THAT((store.Lines() == Lines{"create a", "write a 0+1", "written a"}));
  CHECK_THAT(
      (inner->Lines() == Lines{"create a", "write a 0+1", "written a", "finish a 1 volatile"}));
  return {};
}

std::string HooksSeeEachCall() {
  FaultStore store(NewMemoryStore());
  Lines seen;
  store.SetHook([&](size_t number, const std::string& line) {
    seen.push_back(fmt::format("{} {}", number, line));
  });
  CHECK_OK(store.MakeRoot());
  CHECK_OK(store.SyncFolder());
  CHECK_THAT((seen == Lines{"0 make_root", "1 sync_folder"}));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<EveryCallIsALine>),   cmocka_unit_test(Checked<CallsFailByNumber>),
      cmocka_unit_test(Checked<EffectsAndPrefixes>), cmocka_unit_test(Checked<LeftOutCalls>),
      cmocka_unit_test(Checked<HooksSeeEachCall>),
  };
  return cmocka_run_group_tests_name("storage/fault_store", tests, nullptr, nullptr);
}
