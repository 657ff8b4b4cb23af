// Counts bytes and items from any thread and tells a ProgressSink about ten times a second.
#ifndef DCP_BASE_PROGRESS_H_
#define DCP_BASE_PROGRESS_H_

#include <atomic>
#include <chrono>
#include <mutex>

#include "base/cancel.h"
#include "base/observer.h"

namespace dcp {

class Progress {
 public:
  // `sink` may be null and must outlive this.
  Progress(ProgressSink* sink, CancelToken cancel) : sink_(sink), cancel_(std::move(cancel)) {}

  // Starts a phase: resets the counters and reports once.
  Status Begin(ProgressPhase phase, uint64_t bytes_total, uint64_t items_total);
  // Any thread. kCancelled or the sink's error when the work is to stop.
  Status Advance(uint64_t bytes, uint64_t items);
  Status End();  // reports the phase's final counts

 private:
  Status Report(bool force);

  ProgressSink* sink_;
  CancelToken cancel_;
  ProgressPhase phase_ = ProgressPhase::kPlan;
  uint64_t bytes_total_ = 0;
  uint64_t items_total_ = 0;
  std::atomic<uint64_t> bytes_done_{0};
  std::atomic<uint64_t> items_done_{0};
  std::atomic<int64_t> next_report_ns_{0};
  std::mutex report_mutex_;
  Status failed_;  // guarded by report_mutex_
};

}  // namespace dcp

#endif  // DCP_BASE_PROGRESS_H_
