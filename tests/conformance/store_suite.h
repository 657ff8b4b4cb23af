// What every store must do, as one set of tests. A backend passes it before it is used:
//
//   dcp::StoreSuite suite;
//   suite.name = "store/mine";
//   suite.make_store = [] { return NewMyEmptyStore(); };
//   return dcp::RunStoreSuite(suite);
#ifndef DCP_TESTS_CONFORMANCE_STORE_SUITE_H_
#define DCP_TESTS_CONFORMANCE_STORE_SUITE_H_

#include <functional>
#include <memory>
#include <string>

#include "storage/store.h"

namespace dcp {

struct StoreSuite {
  std::string name;
  // A store on a place of its own where nothing is yet; MakeRoot has not been called.
  std::function<std::unique_ptr<Store>()> make_store;

  // What the store can do beyond the least. The tests of what it cannot are left out.
  bool root_can_be_missing = false;  // Open and List say kNotFound before MakeRoot
  bool maps = true;                  // else Map must be kUnsupported
  bool folders = true;               // paths with '/'
  bool keeps_replaced = true;        // an open file shows its old content after a rename over it
  bool keeps_removed = true;         // and after it was removed
};

// The number of failed tests, for main to return. May be called for several suites.
int RunStoreSuite(StoreSuite& suite);

}  // namespace dcp

#endif  // DCP_TESTS_CONFORMANCE_STORE_SUITE_H_
