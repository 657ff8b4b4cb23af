// disk_limit FOLDER [MiB]: prints {"bytes", "direct", "write_seconds", "read_seconds"} on one line.
#include <fmt/format.h>

#include <cstdlib>

#include "disk_limit.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: disk_limit FOLDER [MiB]\n");
    return 2;
  }
  uint64_t bytes = (argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1024) << 20;
  dcp::bench::DiskLimit limit;
  std::string error;
  if (!dcp::bench::MeasureDisk(argv[1], bytes, &limit, &error)) {
    fmt::print(stderr, "disk_limit: {}\n", error);
    return 1;
  }
  fmt::print(
      "{{\"bytes\": {}, \"direct\": {}, \"write_seconds\": {:.4f}, \"read_seconds\": {:.4f}}}\n",
      limit.bytes, limit.direct, limit.write_seconds, limit.read_seconds);
  return 0;
}
