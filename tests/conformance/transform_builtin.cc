// zstd, where it is built in, and the case swap of upstream's tests.
#include <cstdio>

#include "conformance/transform_suite.h"
#include "support/case_swap.h"

int main() {
  int failed = 0;
  for (int level : {1, 3, 19}) {
    dcp::TransformSuite suite;
    suite.name = fmt::format("transform/zstd level {}", level);
    suite.transform = dcp::NewZstdTransform(level);
    if (suite.transform == nullptr) {
      std::puts("zstd is not built in: its suite is left out");
      break;
    }
    failed += dcp::RunTransformSuite(suite);
  }
  dcp::TransformSuite suite;
  suite.name = "transform/case swap";
  suite.transform = dcp::NewCaseSwapTransform();
  suite.notices_truncation = false;
  return failed + dcp::RunTransformSuite(suite);
}
