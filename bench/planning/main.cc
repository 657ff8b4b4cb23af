// bench_planning COMMAND --option value...: as bench_driver, for what has no place in the C ABI.
// The commands are in commands.h.
#include <fmt/format.h>

#include "planning/commands.h"

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name != "global-plan") {
    fmt::print(stderr, "usage: bench_planning global-plan --option value...\n");
    return 2;
  }
  dcp::bench::GlobalPlanCommand(dcp::bench::Arguments(argc, argv, 2));
  return 0;
}
