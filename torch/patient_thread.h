// Calls that may never return, on a thread that can be left behind: a store whose server is stopped
// answers no call, whatever time the call was given.
#ifndef DCP_TORCH_PATIENT_THREAD_H_
#define DCP_TORCH_PATIENT_THREAD_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace dcp_torch {

// Any thread. Calls are run one after the other, in the order in which they came. They may not
// throw, and own what they use.
class PatientThread {
 public:
  PatientThread();
  // Gives calls that still wait a moment; what has not ended then is left behind, with what it
  // holds.
  ~PatientThread();
  PatientThread(const PatientThread&) = delete;
  PatientThread& operator=(const PatientThread&) = delete;

  enum class Outcome {
    kEnded,
    kGivenUp,  // not ended yet
    kRefused   // too many calls wait: it will never be run
  };
  enum class Late { kRun, kDrop };
  // Runs `call` and waits for its end, for `patience` at most (negative: without end). While one
  // that was given up has not ended, none is waited for: those that come then are run later, or, as
  // `late` says, not at all.
  Outcome Run(std::function<void()> call, std::chrono::milliseconds patience, Late late);
  // Waits for nothing: kGivenUp or kRefused.
  Outcome Post(std::function<void()> call);

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> waiting;
    uint64_t begun = 0;     // calls that came, by number
    uint64_t ended = 0;     // those below have ended
    uint64_t given_up = 0;  // some of those below were given up
    bool stop = false;
  };
  static void Work(State* state);

  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace dcp_torch

#endif  // DCP_TORCH_PATIENT_THREAD_H_
