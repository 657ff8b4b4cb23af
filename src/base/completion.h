// The outcome of work in the background: ended once, waited for by anyone.
#ifndef DCP_BASE_COMPLETION_H_
#define DCP_BASE_COMPLETION_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/deadline.h"

namespace dcp {

// Any thread.
template <typename Outcome>
class Completion {
 public:
  using Callback = std::function<void(const Outcome&)>;

  // Null when it has not ended by then; else the outcome, which never changes.
  const Outcome* Wait(Deadline deadline) const {
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return outcome_.has_value(); };
    if (deadline.never()) {
      ended_.wait(lock, ended);
    } else if (!ended_.wait_until(lock, deadline.at(), ended)) {
      return nullptr;
    }
    return &*outcome_;
  }

  bool done() const {
    const std::lock_guard lock(mutex_);
    return outcome_.has_value();
  }

  // Called exactly once: by End, or at once here when that was before.
  void OnDone(Callback callback) {
    {
      const std::lock_guard lock(mutex_);
      if (!outcome_) {
        callbacks_.push_back(std::move(callback));
        return;
      }
    }
    callback(*outcome_);
  }

  // Once.
  void End(Outcome outcome) {
    std::vector<Callback> callbacks;
    {
      const std::lock_guard lock(mutex_);
      outcome_ = std::move(outcome);
      callbacks.swap(callbacks_);
    }
    ended_.notify_all();
    for (const Callback& callback : callbacks) callback(*outcome_);
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable ended_;
  std::optional<Outcome> outcome_;   // guarded by mutex_ until set
  std::vector<Callback> callbacks_;  // guarded by mutex_
};

}  // namespace dcp

#endif  // DCP_BASE_COMPLETION_H_
