// A point in time by which a wait must end. Every blocking wait in the library takes one.
#ifndef DCP_BASE_DEADLINE_H_
#define DCP_BASE_DEADLINE_H_

#include <chrono>
#include <cstdint>

namespace dcp {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  static Deadline Never() { return Deadline(Clock::time_point::max()); }
  // Passed already: nothing is waited for.
  static Deadline Now() { return Deadline(Clock::now()); }
  static Deadline After(std::chrono::milliseconds wait) { return Deadline(Clock::now() + wait); }
  // Negative milliseconds mean no deadline, as everywhere in dcp.h.
  static Deadline FromMilliseconds(int64_t milliseconds) {
    return milliseconds < 0 ? Never() : After(std::chrono::milliseconds(milliseconds));
  }
  bool never() const { return at_ == Clock::time_point::max(); }
  bool passed() const { return !never() && Clock::now() >= at_; }
  Clock::time_point at() const { return at_; }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}
  Clock::time_point at_;
};

}  // namespace dcp

#endif  // DCP_BASE_DEADLINE_H_
