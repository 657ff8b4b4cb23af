// bench_driver COMMAND --option value...: libdcp measured from C, and the machine's limits. The
// commands and their options are in commands.h. One piece of work a process: it prints {"ready":
// true}, waits for a line on standard input, does the work and prints a line of JSON.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "commands.h"

namespace {

struct Command {
  std::string_view name;
  void (*run)(const dcp::bench::Arguments& arguments);
};

constexpr Command kCommands[] = {
    {"save", dcp::bench::SaveCommand},
    {"load", dcp::bench::LoadCommand},
    {"copy", dcp::bench::CopyCommand},
    {"verify", dcp::bench::VerifyCommand},
    {"open", dcp::bench::OpenCommand},
    {"map", dcp::bench::MapCommand},
    {"tensor", dcp::bench::TensorCommand},
    {"slice", dcp::bench::SliceCommand},
    {"limit-write", dcp::bench::LimitWriteCommand},
    {"limit-read", dcp::bench::LimitReadCommand},
    {"limit-copy", dcp::bench::LimitCopyCommand},
    {"limit-cached-write", dcp::bench::LimitCachedWriteCommand},
    {"limit-preads", dcp::bench::LimitPreadsCommand},
};

}  // namespace

int main(int argc, char** argv) {
  std::string_view name = argc > 1 ? argv[1] : "";
  const auto* command = std::find_if(std::begin(kCommands), std::end(kCommands),
                                     [&](const Command& known) { return known.name == name; });
  if (command == std::end(kCommands)) {
    fmt::print(stderr, "usage: bench_driver COMMAND --option value...; commands:");
    for (const Command& known : kCommands) fmt::print(stderr, " {}", known.name);
    fmt::print(stderr, "\n");
    return 2;
  }
  command->run(dcp::bench::Arguments(argc, argv, 2));
  return 0;
}
