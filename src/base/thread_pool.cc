#include "base/thread_pool.h"

#include <algorithm>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace dcp {
namespace {

Status RunGuarded(const std::function<Status(size_t)>& body, size_t index) {
  try {
    return body(index);
  } catch (const std::bad_alloc&) {
    return Status(Code::kOutOfMemory, "out of memory in a worker thread");
  } catch (const std::exception& problem) {
    return Error(Code::kInternal, "unexpected exception in a worker thread: {}", problem.what());
  }
}

}  // namespace

Status RunParallel(size_t workers, const std::function<Status(size_t)>& body) {
  std::vector<Status> statuses(workers);
  std::vector<std::thread> threads;
  threads.reserve(workers);
  size_t started = std::min<size_t>(workers, 1);  // body(0) is the caller's
  for (; started < workers; ++started) {
    try {
      threads.emplace_back([&, started] { statuses[started] = RunGuarded(body, started); });
    } catch (const std::system_error&) {
      break;
    }
  }
  if (workers > 0) statuses[0] = RunGuarded(body, 0);
  for (size_t i = started; i < workers; ++i) statuses[i] = RunGuarded(body, i);
  for (std::thread& thread : threads) thread.join();
  for (Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

size_t WorkerCount(int32_t requested, size_t fewest) {
  if (requested > 0) return static_cast<size_t>(requested);
  return std::max(fewest, std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 8));
}

}  // namespace dcp
