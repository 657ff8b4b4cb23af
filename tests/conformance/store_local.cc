// The local store in each of its ways to do I/O.
#include "conformance/store_suite.h"
#include "storage/open.h"
#include "support/temp_folder.h"

int main() {
  struct Variant {
    const char* name;
    bool direct;
    bool io_uring;
  };
  const Variant variants[] = {
      {"store/local buffered", false, false},
      {"store/local direct", true, false},
      {"store/local direct, io_uring", true, true},
  };
  dcp::TempFolder folder;
  int failed = 0;
  int made = 0;
  for (const Variant& variant : variants) {
    dcp::LocalStoreOptions options;
    options.direct = variant.direct;
    options.io_uring = variant.io_uring;
    dcp::StoreSuite suite;
    suite.name = variant.name;
    suite.root_can_be_missing = true;
    suite.make_store = [&] {
      std::string path = folder / fmt::format("{}/below/ckpt", made++);
      return *dcp::OpenStore(path, options);
    };
    failed += dcp::RunStoreSuite(suite);
  }
  return failed;
}
