#include "checkpoint/lease.h"

#include <thread>

#include "checkpoint/leased_store.h"
#include "storage/open.h"
#include "support/checks.h"

namespace dcp {
namespace {

void Sleep(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

std::string EndsWithSilence() {
  Lease lease(1000);
  for (int i = 0; i < 4; ++i) {
    Sleep(300);
    lease.Renew();
    CHECK_THAT(!lease.over());
  }
  Sleep(1100);
  lease.Renew();  // too late
  CHECK_THAT(lease.over());
  CHECK_CODE(lease.Check("writing 'x'"), Code::kTimeout);
  CHECK_THAT(lease.Check("writing 'x'").message().find("writing 'x'") == 0);
  lease.Renew();
  CHECK_THAT(lease.over());
  return {};
}

std::string NeverEnds() {
  Lease lease(-1);
  Sleep(5);
  CHECK_THAT(!lease.over());
  const Lease::Awake awake(&lease);
  CHECK_OK(lease.Check("anything"));
  return {};
}

std::string WaitingIsNoSilence() {
  Lease lease(500);
  {
    const Lease::Awake awake(&lease);
    Sleep(1200);
  }
  CHECK_THAT(!lease.over());
  Sleep(600);
  const Lease::Awake late(&lease);
  CHECK_THAT(lease.over());
  return {};
}

std::string AStoreTakesNoMoreChanges() {
  std::unique_ptr<Store> inner = NewMemoryStore();
  CHECK_OK(WriteWholeFile(*inner, "there", AsBytes("old"), false));
  Lease lease(100);
  std::unique_ptr<Store> store = NewLeasedStore(inner.get(), &lease);
  CHECK_THAT(store->location() == inner->location());
  auto begun = store->Create("begun", {});
  CHECK_OK(begun);
  CHECK_OK((*begun)->Start(0, AsBytes("ab"), 1));
  CHECK_OK((*begun)->Wait());
  Sleep(150);
  CHECK_CODE((*begun)->Start(2, AsBytes("cd"), 2), Code::kTimeout);
  CHECK_CODE((*begun)->Finish(2, true), Code::kTimeout);
  CHECK_CODE(store->Create("new", {}), Code::kTimeout);
  CHECK_CODE(store->Rename("there", "here"), Code::kTimeout);
  CHECK_CODE(store->Remove("there"), Code::kTimeout);
  CHECK_CODE(store->MakeRoot(), Code::kTimeout);
  CHECK_OK(store->Open("there"));
  CHECK_OK(store->List());
  CHECK_OK(store->SyncFolder());
  auto still = ReadWholeFile(*inner, "there", 100);
  CHECK_OK(still);
  CHECK_THAT(*still == "old");
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(EndsWithSilence),
      DCP_CHECKED(NeverEnds),
      DCP_CHECKED(WaitingIsNoSilence),
      DCP_CHECKED(AStoreTakesNoMoreChanges),
  };
  return cmocka_run_group_tests_name("checkpoint/lease", tests, nullptr, nullptr);
}
