#include "base/progress.h"

namespace dcp {
namespace {

constexpr int64_t kIntervalNs = 100'000'000;

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Status Progress::Begin(ProgressPhase phase, uint64_t bytes_total, uint64_t items_total) {
  {
    std::lock_guard lock(report_mutex_);
    phase_ = phase;
    bytes_total_ = bytes_total;
    items_total_ = items_total;
    bytes_done_ = 0;
    items_done_ = 0;
  }
  DCP_RETURN_IF_ERROR(cancel_.Check());
  return Report(true);
}

Status Progress::Advance(uint64_t bytes, uint64_t items) {
  bytes_done_.fetch_add(bytes, std::memory_order_relaxed);
  items_done_.fetch_add(items, std::memory_order_relaxed);
  DCP_RETURN_IF_ERROR(cancel_.Check());
  return Report(false);
}

Status Progress::End() { return Report(true); }

Status Progress::Report(bool force) {
  if (sink_ == nullptr) return Status::Ok();
  if (!force) {
    int64_t now = NowNs();
    int64_t due = next_report_ns_.load(std::memory_order_relaxed);
    if (now < due || !next_report_ns_.compare_exchange_strong(due, now + kIntervalNs,
                                                              std::memory_order_relaxed)) {
      return Status::Ok();
    }
  }
  std::lock_guard lock(report_mutex_);
  if (!failed_.ok()) return failed_;
  failed_ =
      sink_->Update({phase_, bytes_done_.load(), bytes_total_, items_done_.load(), items_total_});
  return failed_;
}

}  // namespace dcp
