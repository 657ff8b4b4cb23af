#include "arguments.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>

namespace dcp::bench {

void Die(std::string_view message) {
  fmt::print(stderr, "bench_driver: {}\n", message);
  std::exit(1);
}

void Check(const cli::Failure& failure) {
  if (failure) Die(failure.message());
}

Arguments::Arguments(int argc, char** argv, int from) {
  for (int i = from; i < argc; i += 2) {
    std::string_view name = argv[i];
    if (name.substr(0, 2) != "--" || i + 1 == argc) {
      Die(fmt::format("expected --name value, not {}", name));
    }
    values_[std::string(name.substr(2))] = argv[i + 1];
  }
}

std::string Arguments::Text(const std::string& name) const {
  auto found = values_.find(name);
  if (found == values_.end()) Die(fmt::format("--{} is needed", name));
  return found->second;
}

std::string Arguments::Text(const std::string& name, const std::string& fallback) const {
  return values_.count(name) != 0 ? Text(name) : fallback;
}

uint64_t Arguments::Number(const std::string& name) const {
  std::string text = Text(name);
  char* end = nullptr;
  errno = 0;
  uint64_t number = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || errno != 0) {
    Die(fmt::format("--{} is a number, not {}", name, text));
  }
  return number;
}

uint64_t Arguments::Number(const std::string& name, uint64_t fallback) const {
  return values_.count(name) != 0 ? Number(name) : fallback;
}

}  // namespace dcp::bench
