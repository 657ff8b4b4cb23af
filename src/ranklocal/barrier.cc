#include "ranklocal/barrier.h"

#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "base/completion.h"

namespace dcp {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGrace{500};  // for a barrier that ends in time by itself
constexpr milliseconds kLook{100};   // how often it is looked whether to stop

class CommunicatorBarrier final : public Barrier {
 public:
  explicit CommunicatorBarrier(std::shared_ptr<Communicator> comm) : comm_(std::move(comm)) {}
  Status Execute(Silence timeout) override { return comm_->Barrier(timeout); }
  Silence Longest(Silence timeout) const override { return 2 * timeout; }

 private:
  const std::shared_ptr<Communicator> comm_;
};

Status Guarded(Barrier& barrier, Silence timeout) {
  try {
    return barrier.Execute(timeout);
  } catch (const std::bad_alloc&) {
    return Status(Code::kOutOfMemory, "out of memory in a barrier");
  } catch (const std::exception& problem) {
    return Error(Code::kInternal, "unexpected exception in a barrier: {}", problem.what());
  }
}

// Null when it is not waited for any longer.
const Status* AwaitEnd(const Completion<Status>& outcome, Deadline end, const CancelToken& cancel) {
  for (;;) {
    const Deadline look = Deadline::After(kLook);
    const Status* const status = outcome.Wait(look.at() < end.at() ? look : end);
    if (status != nullptr || cancel.cancelled() || end.passed()) return status;
  }
}

}  // namespace

std::shared_ptr<Barrier> NewCommunicatorBarrier(std::shared_ptr<Communicator> comm) {
  return std::make_shared<CommunicatorBarrier>(std::move(comm));
}

Status ExecuteInTime(std::shared_ptr<Barrier> barrier, Silence timeout, const CancelToken& cancel) {
  if (barrier->executing_.exchange(true)) {
    return Status(Code::kTimeout, "the barrier has not ended an earlier call, which timed out");
  }
  const Deadline end =
      timeout.count() < 0 ? Deadline::Never() : Deadline::After(barrier->Longest(timeout) + kGrace);
  auto outcome = std::make_shared<Completion<Status>>();
  std::thread thread;
  try {
    thread = std::thread([outcome, barrier, timeout]() mutable {
      Status status = Guarded(*barrier, timeout);
      barrier->executing_ = false;
      barrier.reset();
      outcome->End(std::move(status));
    });
  } catch (const std::system_error& problem) {
    barrier->executing_ = false;
    return Error(Code::kOutOfMemory, "no thread for a barrier: {}", problem.what());
  }
  if (const Status* const status = AwaitEnd(*outcome, end, cancel); status != nullptr) {
    thread.join();  // with it goes what it held
    return *status;
  }
  thread.detach();
  DCP_RETURN_IF_ERROR(cancel.Check());
  return Error(Code::kTimeout, "the barrier has not ended after {} s, and is left behind",
               static_cast<double>(timeout.count()) / 1000);
}

}  // namespace dcp
