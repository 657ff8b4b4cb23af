#include "measure.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>

namespace dcp::bench {
namespace {

double Clock(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Sets the recorded peak of the resident memory back to what it is now.
bool ForgetPeak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

// Brings the program's own code and constants into memory, where the system can (Linux 5.14): what
// is measured is the work, not how a program starts.
void PopulateCode() {
#ifdef MADV_POPULATE_READ
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    uint64_t from = 0, to = 0;
    char mode[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, mode) != 3) continue;
    bool of_a_file = line.find(" /") != std::string::npos;
    if (mode[0] != 'r' || mode[1] == 'w' || !of_a_file) continue;
    madvise(reinterpret_cast<void*>(from), to - from, MADV_POPULATE_READ);  // NOLINT: as printed
  }
#endif
}

int64_t Status(std::string_view key) { return ProcNumber("/proc/self/status", key, 1024); }

}  // namespace

int64_t ProcNumber(const char* file, std::string_view key, int64_t unit) {
  std::ifstream lines(file);
  std::string word;
  while (lines >> word) {
    if (word != key) continue;
    int64_t number = 0;
    return lines >> number ? number * unit : -1;
  }
  return -1;
}

void Result::AddRaw(std::string_view key, const std::string& json) {
  members_ += fmt::format("{}\"{}\": {}", members_.empty() ? "" : ", ", key, json);
}
void Result::Add(std::string_view key, double number) {
  AddRaw(key, fmt::format("{:.9g}", number));
}
void Result::Add(std::string_view key, uint64_t number) { AddRaw(key, fmt::format("{}", number)); }
void Result::Add(std::string_view key, const std::string& text) {
  AddRaw(key, fmt::format("\"{}\"", text));
}

void Result::Print() const {
  fmt::print("{{{}}}\n", members_);
  std::fflush(stdout);
}

Measure::Measure() {
  PopulateCode();
  fmt::print("{{\"ready\": true}}\n");
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);
  peak_known_ = ForgetPeak();
  resident_ = Status("VmRSS:");
  disk_read_ = ProcNumber("/proc/self/io", "read_bytes:", 1);
  cpu_ = Clock(CLOCK_PROCESS_CPUTIME_ID);
  wall_ = Clock(CLOCK_MONOTONIC);
}

void Measure::Stop(Result* result) {
  double wall = Clock(CLOCK_MONOTONIC) - wall_;
  double cpu = Clock(CLOCK_PROCESS_CPUTIME_ID) - cpu_;
  int64_t peak = Status("VmHWM:");
  int64_t disk_read = ProcNumber("/proc/self/io", "read_bytes:", 1);
  result->Add("wall_s", wall);
  result->Add("cpu_s", cpu);
  if (peak_known_ && resident_ >= 0 && peak >= 0) {
    result->Add("extra_bytes", static_cast<uint64_t>(std::max<int64_t>(peak - resident_, 0)));
  }
  if (disk_read_ >= 0 && disk_read >= 0) {
    result->Add("disk_read_bytes", static_cast<uint64_t>(disk_read - disk_read_));
  }
}

}  // namespace dcp::bench
