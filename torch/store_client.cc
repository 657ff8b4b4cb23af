#include "store_client.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "failure.h"

namespace dcp_torch {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;
using Microseconds = std::chrono::microseconds;

constexpr Milliseconds kGrace{600};       // for the store's answer, beyond the time of the call
constexpr Milliseconds kLongWait{60000};  // from here on the store waits itself
constexpr Milliseconds kLongest{1 << 30};
constexpr Microseconds kShortestPause{200};
constexpr Microseconds kLongestPause{100000};
constexpr int kPauses = 16;  // a key is looked for so often while the time doubles

// Looks for a key less and less often: a wait of the store's own that is not answered in time
// throws, and writes to the log.
bool LookFor(c10d::Store& store, const std::string& key, Clock::time_point until) {
  const Clock::time_point begin = Clock::now();
  while (!store.check({key})) {
    const Clock::time_point now = Clock::now();
    if (now >= until) return false;
    const auto pause = std::clamp(std::chrono::duration_cast<Microseconds>(now - begin) / kPauses,
                                  kShortestPause, kLongestPause);
    std::this_thread::sleep_for(std::min<Clock::duration>(pause, until - now));
  }
  return true;
}

// One request for a long time: many ranks may wait.
bool WaitFor(c10d::Store& store, const std::string& key, Clock::time_point until) {
  const auto left = std::chrono::duration_cast<Milliseconds>(until - Clock::now());
  try {
    store.wait({key}, std::clamp(left, Milliseconds(1), kLongest));
    return true;
  } catch (const std::exception&) {
    if (Clock::now() < until) throw;
    return store.check({key});
  }
}

}  // namespace

struct StoreClient::Shared {
  c10::intrusive_ptr<c10d::Store> store;  // the thread's, once there is one
  std::mutex mutex;
  std::string failure;  // of a call that nobody waited for, or of the last
};

dcp_status StoreClient::New(Open open, int32_t host_rank, int64_t timeout_ms,
                            std::unique_ptr<StoreClient>* out, dcp_error** error) {
  std::unique_ptr<StoreClient> client(new StoreClient(std::make_shared<Shared>(), host_rank));
  const auto task = [shared = client->shared_, open = std::move(open)] {
    try {
      shared->store = open();
    } catch (const std::exception& problem) {
      const std::lock_guard lock(shared->mutex);
      shared->failure = FirstLine(problem);
    }
  };
  const Milliseconds patience(timeout_ms < 0 ? -1 : std::min(timeout_ms, kLongest.count()));
  const auto outcome = client->thread_.Run(task, patience, PatientThread::Late::kRun);
  if (outcome != PatientThread::Outcome::kEnded) return client->Silent(error);
  const dcp_status status = client->Failed(error);
  if (status == DCP_OK) *out = std::move(client);
  return status;
}

StoreClient::~StoreClient() {
  // A store may take its time to close: on its thread.
  (void)thread_.Post([shared = shared_] { shared->store.reset(); });
}

dcp_status StoreClient::Fail(dcp_status status, const std::string& message,
                             dcp_error** error) const {
  if (host_rank_ < 0) return dcp_torch::Fail(DCP_IO, "the store: " + message, error);
  const dcp_status whole = status == DCP_TIMEOUT ? DCP_TIMEOUT : DCP_RANK_FAILED;
  if (error == nullptr) return whole;
  *error = dcp_error_new(
      whole, ("the store that rank " + std::to_string(host_rank_) + " hosts: " + message).c_str());
  dcp_error_add_rank_failure(*error, host_rank_, "",
                             dcp_error_new(status, ("the store: " + message).c_str()));
  return whole;
}

dcp_status StoreClient::Silent(dcp_error** error) {
  return Fail(DCP_TIMEOUT, "it does not answer", error);
}

// DCP_OK, unless a call failed.
dcp_status StoreClient::Failed(dcp_error** error) {
  std::string failure;
  {
    const std::lock_guard lock(shared_->mutex);
    failure = std::exchange(shared_->failure, std::string());
  }
  return failure.empty() ? DCP_OK : Fail(DCP_IO, failure, error);
}

namespace {

template <typename Shared, typename Call>
std::function<void()> Task(const std::shared_ptr<Shared>& shared, Call call) {
  return [shared, call = std::move(call)] {
    std::string failure;
    try {
      call(*shared->store);
      return;
    } catch (const std::exception& problem) {
      failure = FirstLine(problem);
      if (failure.empty()) failure = "a call failed without a word";
    } catch (...) {
      failure = "a call failed with an unknown exception";
    }
    const std::lock_guard lock(shared->mutex);
    shared->failure = std::move(failure);
  };
}

}  // namespace

dcp_status StoreClient::Run(Call call, int64_t timeout_ms, PatientThread::Late late,
                            dcp_error** error) {
  if (timeout_ms > 0) usual_timeout_ms_ = std::min(timeout_ms, kLongest.count());
  const Milliseconds patience =
      timeout_ms < 0 ? Milliseconds(-1) : Milliseconds(usual_timeout_ms_) + kGrace;
  const auto outcome = thread_.Run(Task(shared_, std::move(call)), patience, late);
  return outcome == PatientThread::Outcome::kEnded ? Failed(error) : Silent(error);
}

dcp_status StoreClient::Post(Call call, dcp_error** error) {
  const auto outcome = thread_.Post(Task(shared_, std::move(call)));
  return outcome == PatientThread::Outcome::kRefused ? Silent(error) : Failed(error);
}

dcp_status StoreClient::Set(std::string key, std::vector<uint8_t> value, int64_t timeout_ms,
                            dcp_error** error) {
  auto set = [key = std::move(key), value = std::move(value)](c10d::Store& store) {
    store.set(key, value);
  };
  if (timeout_ms == 0) return Post(std::move(set), error);
  // Late is better than never: the next message to that rank is counted on behind this one.
  return Run(std::move(set), timeout_ms, PatientThread::Late::kRun, error);
}

dcp_status StoreClient::Get(std::string key, int64_t timeout_ms, std::vector<uint8_t>* value,
                            dcp_error** error) {
  const auto found = std::make_shared<std::optional<std::vector<uint8_t>>>();
  const Milliseconds time(timeout_ms < 0 ? kLongest.count()
                                         : std::min(timeout_ms, kLongest.count()));
  auto get = [key = std::move(key), time, until = Clock::now() + time, found](c10d::Store& store) {
    const bool there = time >= kLongWait ? WaitFor(store, key, until) : LookFor(store, key, until);
    if (there) *found = store.get(key);
  };
  const dcp_status status = Run(std::move(get), timeout_ms, PatientThread::Late::kDrop, error);
  if (status != DCP_OK) return status;
  if (!*found) return dcp_torch::Fail(DCP_TIMEOUT, "the key did not come in time", error);
  *value = std::move(**found);
  return DCP_OK;
}

dcp_status StoreClient::Remove(std::string key, dcp_error** error) {
  return Post([key = std::move(key)](c10d::Store& store) { store.deleteKey(key); }, error);
}

namespace {

dcp_status OnSet(void* user_data, const char* key, const void* data, size_t size,
                 int64_t timeout_ms, dcp_error** error) {
  return Guard(error, [&] {
    const auto* bytes = static_cast<const uint8_t*>(data);
    return static_cast<StoreClient*>(user_data)->Set(key, {bytes, bytes + size}, timeout_ms, error);
  });
}

dcp_status OnGet(void* user_data, const char* key, int64_t timeout_ms, dcp_buffer_sink give,
                 void* sink, dcp_error** error) {
  return Guard(error, [&] {
    std::vector<uint8_t> value;
    const dcp_status status =
        static_cast<StoreClient*>(user_data)->Get(key, timeout_ms, &value, error);
    if (status == DCP_OK) give(sink, 0, value.data(), value.size());
    return status;
  });
}

dcp_status OnRemove(void* user_data, const char* key, dcp_error** error) {
  return Guard(error, [&] { return static_cast<StoreClient*>(user_data)->Remove(key, error); });
}

void OnDestroy(void* user_data) { delete static_cast<StoreClient*>(user_data); }

}  // namespace

dcp_key_value_table StoreTable() {
  dcp_key_value_table table = {};
  table.struct_size = sizeof table;
  table.set = OnSet;
  table.get = OnGet;
  table.remove = OnRemove;
  table.destroy = OnDestroy;
  return table;
}

}  // namespace dcp_torch
