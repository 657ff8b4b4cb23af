// bench_planning COMMAND --option value...: as bench_driver, for what has no place in the C ABI.
// The commands are in commands.h.
#include <fmt/format.h>

#include "planning/commands.h"

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  void (*run)(const dcp::bench::Arguments&) = nullptr;
  if (name == "global-plan") run = dcp::bench::GlobalPlanCommand;
  if (name == "second-save") run = dcp::bench::SecondSaveCommand;
  if (name == "memcpy") run = dcp::bench::MemcpyCommand;
  if (run == nullptr) {
    fmt::print(stderr, "usage: bench_planning global-plan|second-save|memcpy --option value...\n");
    return 2;
  }
  run(dcp::bench::Arguments(argc, argv, 2));
  return 0;
}
