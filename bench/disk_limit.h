// How fast a folder's disk takes and gives bytes, without the page cache: O_DIRECT in blocks of
// 16 MiB, several at once, synced. The figure that saves and loads are held against.
#ifndef DCP_BENCH_DISK_LIMIT_H_
#define DCP_BENCH_DISK_LIMIT_H_

#include <cstdint>
#include <string>

namespace dcp::bench {

struct DiskLimit {
  uint64_t bytes = 0;   // moved each way, a whole number of blocks
  bool direct = false;  // false: the file system has no O_DIRECT, so the page cache was in the way
  double write_seconds = 0;
  double read_seconds = 0;
};

// Needs `bytes` of free space for a moment. False, with the reason in *error, when the disk is full
// or fails.
bool MeasureDisk(const std::string& folder, uint64_t bytes, DiskLimit* out, std::string* error);

}  // namespace dcp::bench

#endif  // DCP_BENCH_DISK_LIMIT_H_
