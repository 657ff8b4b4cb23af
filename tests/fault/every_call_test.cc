// Every store call of a save fails in turn: once, from then on, and after having been made. The
// error is right, the old checkpoint or the new one is whole, and the next save leaves nothing.
#include <cerrno>

#include "fault/saves.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

using Effect = FaultStore::Effect;
using Times = FaultStore::Times;

const Status kBroken(Code::kIo, "the disk is on fire");

struct Scene {
  bool local;
  bool overwriting;
  Times times;
  Effect effect;
};

std::shared_ptr<Store> NewStore(const Scene& scene, const TempFolder& folder) {
  if (!scene.local) return NewMemoryStore();
  auto store = OpenStore(folder.path(), LocalStoreOptions());
  return store.ok() ? std::shared_ptr<Store>(*std::move(store)) : nullptr;
}

// What has to hold after a save of 2 in which call `line` failed.
std::string CheckAfter(const Scene& scene, const std::shared_ptr<Store>& inner,
                       const Result<SaveResult>& saved, const std::string& line) {
  auto number = NumberIn(inner);
  CHECK_OK(number);
  if (saved.ok()) {
    // Only what happens after the rename may fail without failing the save, and is told.
    CHECK_THAT(*number == 2);
    bool after = line.starts_with("remove ") || line.starts_with("list") ||
                 line.starts_with("sync_folder") || line.starts_with("rename ");
    CHECK_THAT(after);
    CHECK_THAT(!saved->warnings.empty());
  } else if (saved.status().code() == Code::kOutcomeUnknown) {
    CHECK_THAT(scene.times == Times::kFromThenOn);
    CHECK_THAT(!scene.overwriting || number->has_value());
  } else {
    CHECK_CODE(saved, Code::kIo);
    CHECK_THAT(saved.status().message().find("on fire") != std::string::npos);
    CHECK_THAT(scene.overwriting ? *number == 1 : !number->has_value());
    // A store that still works is left clean at once.
    if (scene.times == Times::kOnce) {
      CHECK_THAT(inner->List()->size() == (scene.overwriting ? 2u : 0u));
    }
  }
  // The next save works, and leaves itself alone.
  CHECK_OK(SaveNumber(*inner, 3));
  number = NumberIn(inner);
  CHECK_OK(number);
  CHECK_THAT(*number == 3);
  CHECK_THAT(inner->List()->size() == 2);
  return {};
}

// Returns the number of calls tried.
std::string FailEachCall(const Scene& scene, size_t* tried) {
  size_t calls = 1;
  for (size_t call = 0; call < calls; ++call) {
    TempFolder folder;
    std::shared_ptr<Store> inner = NewStore(scene, folder);
    CHECK_THAT(inner != nullptr);
    if (scene.overwriting) CHECK_OK(SaveNumber(*inner, 1));
    FaultStore store(inner);
    if (call == 0) {
      TempFolder other;
      std::shared_ptr<Store> rehearsal = NewStore(scene, other);
      if (scene.overwriting) CHECK_OK(SaveNumber(*rehearsal, 1));
      FaultStore counting(rehearsal);
      CHECK_OK(SaveNumber(counting, 2));
      calls = counting.call_count();
    }
    store.FailCall(call, kBroken, scene.times, scene.effect);
    auto saved = SaveNumber(store, 2);
    std::vector<std::string> lines = store.Lines();
    CHECK_THAT(call < lines.size());
    std::string wrong = CheckAfter(scene, inner, saved, lines[call]);
    if (!wrong.empty()) {
      return fmt::format("call {} ('{}'){}{}{}: {}", call, lines[call],
                         scene.overwriting ? ", overwriting" : "",
                         scene.times == Times::kFromThenOn ? ", from then on" : "",
                         scene.effect == Effect::kAfter ? ", afterwards" : "", wrong);
    }
    ++*tried;
  }
  return {};
}

std::string EveryCallFailsOnce() {
  size_t tried = 0;
  for (bool local : {false, true}) {
    for (bool overwriting : {false, true}) {
      for (Times times : {Times::kOnce, Times::kFromThenOn}) {
        for (Effect effect : {Effect::kInstead, Effect::kAfter}) {
          std::string wrong = FailEachCall({local, overwriting, times, effect}, &tried);
          if (!wrong.empty()) return wrong;
        }
      }
    }
  }
  print_message("%zu failing calls\n", tried);
  CHECK_THAT(tried > 150);
  return {};
}

// What the disk says is what the caller reads.
std::string FullDisksAreNamed() {
  auto store = std::make_shared<FaultStore>(NewMemoryStore());
  store->FailLine("write __0_0.distcp", ErrnoError(ENOSPC, "write", "__0_0.distcp"));
  auto saved = SaveNumber(*store, 1);
  CHECK_CODE(saved, Code::kIo);
  CHECK_THAT(saved.status().message().find("No space left") != std::string::npos);
  CHECK_THAT(store->List()->empty());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::EveryCallFailsOnce>),
      cmocka_unit_test(dcp::Checked<dcp::FullDisksAreNamed>),
  };
  return cmocka_run_group_tests_name("fault/every_call", tests, nullptr, nullptr);
}
