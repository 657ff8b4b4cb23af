// io_uring, as far as files need it. A build without liburing has rings that cannot be made.
#ifndef DCP_STORAGE_LOCAL_RING_H_
#define DCP_STORAGE_LOCAL_RING_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"

namespace dcp {

// One thread at a time. Functions return 0 or errno.
class Ring {
 public:
  static constexpr unsigned kDepth = 8;   // requests in flight
  static std::unique_ptr<Ring> Create();  // null where the kernel, or the build, has none
  ~Ring();                                // nothing may be in flight, except in a forked child

  // Hands a request to the kernel, which has `out`/`data` until Wait returns `tag`. After an error
  // the request was not taken, and the ring takes no more.
  int Read(int fd, uint64_t offset, MutableBytes out, uint64_t tag);
  int Write(int fd, uint64_t offset, Bytes data, uint64_t tag);

  struct Completion {
    uint64_t tag;
    int32_t result;  // bytes done, or minus errno
  };
  int Wait(Completion* completion);  // only with requests in flight

  unsigned in_flight() const { return in_flight_; }
  bool usable() const { return !broken_ && !foreign(); }
  // In a process forked from the one that made it: every call fails, nothing is waited for.
  bool foreign() const;

 private:
  struct Kernel;
  explicit Ring(std::unique_ptr<Kernel> kernel);
  int Submit();

  std::unique_ptr<Kernel> kernel_;
  const pid_t owner_;
  unsigned in_flight_ = 0;
  bool broken_ = false;
};

// Idle rings, so that small files do not pay for making one each. Any thread.
class RingPool {
 public:
  std::unique_ptr<Ring> Take();  // null where there is no io_uring
  void Give(std::unique_ptr<Ring> ring);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Ring>> idle_;  // guarded by mutex_
};

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_RING_H_
