// Options "--name value" of a command, and the ways it ends.
#ifndef DCP_BENCH_DRIVER_ARGUMENTS_H_
#define DCP_BENCH_DRIVER_ARGUMENTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "cli/handles.h"

namespace dcp::bench {

// Prints the message and ends the program with 1.
[[noreturn]] void Die(std::string_view message);
// Dies when the call failed.
void Check(const cli::Failure& failure);

class Arguments {
 public:
  // Of argv[from] and on. Dies unless each is a name followed by a value.
  Arguments(int argc, char** argv, int from);

  // Die when the option is missing and there is no fallback.
  std::string Text(const std::string& name) const;
  std::string Text(const std::string& name, const std::string& fallback) const;
  uint64_t Number(const std::string& name) const;
  uint64_t Number(const std::string& name, uint64_t fallback) const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace dcp::bench

#endif  // DCP_BENCH_DRIVER_ARGUMENTS_H_
