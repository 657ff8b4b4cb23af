// The fault wrapper with no faults set must not be noticed.
#include "conformance/store_suite.h"
#include "storage/open.h"
#include "support/fault_store.h"
#include "support/temp_folder.h"

int main() {
  dcp::StoreSuite suite;
  suite.name = "store/fault wrapper on memory";
  suite.make_store = [] { return std::make_unique<dcp::FaultStore>(dcp::NewMemoryStore()); };
  int failed = dcp::RunStoreSuite(suite);

  dcp::TempFolder folder;
  int made = 0;
  suite.name = "store/fault wrapper on local";
  suite.root_can_be_missing = true;
  suite.make_store = [&] {
    std::string path = folder / fmt::format("{}", made++);
    return std::make_unique<dcp::FaultStore>(*dcp::OpenStore(path, {}));
  };
  return failed + dcp::RunStoreSuite(suite);
}
