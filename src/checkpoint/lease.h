// How long a rank may go on with a save without having given a sign of life: as long as the others
// wait for one. A rank that slept for longer, or was stopped, finds its lease over, and leaves the
// store alone: the others have gone on without it, and may have saved again.
#ifndef DCP_CHECKPOINT_LEASE_H_
#define DCP_CHECKPOINT_LEASE_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/deadline.h"
#include "base/status.h"

namespace dcp {

// Any thread.
class Lease {
 public:
  // Negative: it never ends.
  explicit Lease(int64_t silence_ms) : silence_ms_(silence_ms) { Renew(); }

  // To be said just before the sign of life is given. One that is over stays so.
  void Renew();
  bool over() const;
  // kTimeout when it is over; `what` is then not done.
  Status Check(std::string_view what) const;

  // While it lives this rank waits for others, and is awake: it need not say so itself. Were it
  // stopped meanwhile, this would be, too.
  class Awake {
   public:
    explicit Awake(Lease* lease);
    ~Awake();
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

   private:
    std::mutex mutex_;
    std::condition_variable ended_;
    bool end_ = false;
    std::thread thread_;
  };

 private:
  using Clock = Deadline::Clock;
  const int64_t silence_ms_;
  std::atomic<Clock::rep> renewed_{0};
  mutable std::atomic<bool> over_{false};
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_LEASE_H_
