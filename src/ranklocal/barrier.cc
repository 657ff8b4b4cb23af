#include "ranklocal/barrier.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace dcp {
namespace {

constexpr std::chrono::milliseconds kGrace{500};  // for a barrier that ends in time by itself

class CommunicatorBarrier final : public Barrier {
 public:
  explicit CommunicatorBarrier(std::shared_ptr<Communicator> comm) : comm_(std::move(comm)) {}
  Status Execute(Silence timeout) override { return comm_->Barrier(timeout); }

 private:
  const std::shared_ptr<Communicator> comm_;
};

struct Outcome {
  std::mutex mutex;
  std::condition_variable ended;
  std::optional<Status> status;
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

}  // namespace

std::shared_ptr<Barrier> NewCommunicatorBarrier(std::shared_ptr<Communicator> comm) {
  return std::make_shared<CommunicatorBarrier>(std::move(comm));
}

Status ExecuteInTime(std::shared_ptr<Barrier> barrier, Silence timeout) {
  if (timeout.count() < 0) return Guarded(*barrier, timeout);
  auto outcome = std::make_shared<Outcome>();
  try {
    std::thread([outcome, barrier = std::move(barrier), timeout]() mutable {
      Status status = Guarded(*barrier, timeout);
      barrier.reset();
      const std::lock_guard lock(outcome->mutex);
      outcome->status = std::move(status);
      outcome->ended.notify_one();
    }).detach();
  } catch (const std::system_error& problem) {
    return Error(Code::kOutOfMemory, "no thread for a barrier: {}", problem.what());
  }
  std::unique_lock lock(outcome->mutex);
  if (!outcome->ended.wait_for(lock, timeout + kGrace,
                               [&] { return outcome->status.has_value(); })) {
    return Error(Code::kTimeout, "the barrier has not ended after {} s",
                 static_cast<double>(timeout.count()) / 1000);
  }
  return *outcome->status;
}

}  // namespace dcp
