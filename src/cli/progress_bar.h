// One line on standard error that shows how far the work is.
#ifndef DCP_CLI_PROGRESS_BAR_H_
#define DCP_CLI_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "cli/handles.h"

namespace dcp::cli {

class ProgressBar {
 public:
  // Shows the events of `context` from now on. The bar must outlive the context's calls.
  Failure Attach(dcp_context* context);

  bool shown() const { return shown_; }
  // For work the library does not report as a whole. Draws at most ten times a second.
  void Update(std::string_view what, uint64_t done, uint64_t total);
  // The library's events are ignored while true: the command calls Update itself.
  void set_manual(bool manual) { manual_ = manual; }
  // Removes the line, so that something else can be printed.
  void Clear();

 private:
  static dcp_status OnEvent(void* bar, const dcp_progress_event* event, dcp_error** error);
  void Draw(std::string_view what, uint64_t done, uint64_t total);

  using Clock = std::chrono::steady_clock;
  std::mutex mutex_;
  bool shown_ = false;
  bool manual_ = false;
  bool drawn_ = false;
  std::string what_;
  Clock::time_point started_;
  Clock::time_point last_;
};

}  // namespace dcp::cli

#endif  // DCP_CLI_PROGRESS_BAR_H_
