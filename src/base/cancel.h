// A shared request to stop. Work checks it between blocks; the waiting side sees kCancelled.
#ifndef DCP_BASE_CANCEL_H_
#define DCP_BASE_CANCEL_H_

#include <atomic>
#include <memory>

#include "base/status.h"

namespace dcp {

// Copies share one flag. Any thread; setting it is async-signal-safe.
class CancelToken {
 public:
  CancelToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void Cancel() const { flag_->store(true, std::memory_order_relaxed); }
  bool cancelled() const { return flag_->load(std::memory_order_relaxed); }
  Status Check() const {
    return cancelled() ? Status(Code::kCancelled, "cancelled by the caller") : Status::Ok();
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace dcp

#endif  // DCP_BASE_CANCEL_H_
