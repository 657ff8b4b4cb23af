// What a piece of work costs this process, and how it is told.
#ifndef DCP_BENCH_DRIVER_MEASURE_H_
#define DCP_BENCH_DRIVER_MEASURE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace dcp::bench {

// Bytes that the system says in `file` (of /proc) behind `key`, times `unit`; -1 when it does not.
int64_t ProcNumber(const char* file, std::string_view key, int64_t unit);

// A result as one line of JSON on standard output.
class Result {
 public:
  void Add(std::string_view key, double number);
  void Add(std::string_view key, uint64_t number);
  void Add(std::string_view key, const std::string& text);  // of printable ASCII
  void Print() const;

 private:
  void AddRaw(std::string_view key, const std::string& json);
  std::string members_;
};

// Brings the program's code into memory, says that all is prepared, waits for a line on standard
// input (its end will do, too), and then measures until Stop(): wall seconds, CPU seconds of all
// threads, and by how much the resident memory was larger at its peak than at the start.
class Measure {
 public:
  Measure();
  // Adds "wall_s", "cpu_s", "extra_bytes" (absent where the system does not tell), and
  // "disk_read_bytes": what this process made the disk read.
  void Stop(Result* result);

 private:
  bool peak_known_;
  int64_t resident_;
  int64_t disk_read_;
  double cpu_;
  double wall_;
};

}  // namespace dcp::bench

#endif  // DCP_BENCH_DRIVER_MEASURE_H_
