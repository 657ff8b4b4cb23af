#include "conformance/store_suite.h"
#include "storage/open.h"

int main() {
  dcp::StoreSuite suite;
  suite.name = "store/memory";
  suite.make_store = dcp::NewMemoryStore;
  return dcp::RunStoreSuite(suite);
}
