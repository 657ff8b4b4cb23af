#include "endpoint.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "failure.h"

namespace dcp_mpi {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostInPart = 1 << 30;  // MPI counts in int
enum Tag : int { kLastPart = 1, kMoreParts = 2 };

// Looks often at first, then less so.
class Poll {
 public:
  explicit Poll(int64_t timeout_ms)
      : until_(timeout_ms < 0 ? Clock::time_point::max()
                              : Clock::now() + std::chrono::milliseconds(timeout_ms)) {}
  // False when the time is over; else after a pause.
  bool Again() {
    if (until_ != Clock::time_point::max() && Clock::now() >= until_) return false;
    if (++looks_ < kSpins) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(pause_);
      pause_ = std::min(pause_ * 2, kLongestPause);
    }
    return true;
  }
  void Moved() {
    looks_ = 0;
    pause_ = kShortestPause;
  }

 private:
  static constexpr int kSpins = 200;
  static constexpr std::chrono::microseconds kShortestPause{20};
  static constexpr std::chrono::microseconds kLongestPause{1000};
  const Clock::time_point until_;
  int looks_ = 0;
  std::chrono::microseconds pause_ = kShortestPause;
};

}  // namespace

dcp_status Endpoint::Open(MPI_Comm comm, int64_t timeout_ms, std::unique_ptr<Endpoint>* out,
                          dcp_error** error) {
  MPI_Comm own = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  dcp_status status = Check(MPI_Comm_idup(comm, &own, &request), "MPI_Comm_idup", error);
  if (status != DCP_OK) return status;
  Poll poll(timeout_ms);
  for (;;) {
    int done = 0;
    status = Check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Comm_idup", error);
    if (status != DCP_OK) return status;
    if (done != 0) break;
    if (!poll.Again()) {
      return Fail(DCP_TIMEOUT, "not all ranks came to make a communicator", error);
    }
  }
  MPI_Comm_set_errhandler(own, MPI_ERRORS_RETURN);
  std::unique_ptr<Endpoint> made(new Endpoint(own));
  MPI_Comm_rank(own, &made->rank_);
  MPI_Comm_size(own, &made->size_);
  made->incoming_.resize(static_cast<size_t>(made->size_));
  *out = std::move(made);
  return DCP_OK;
}

Endpoint::~Endpoint() {
  int over = 0;
  MPI_Finalized(&over);
  bool idle = outbox_->empty();
  for (Incoming& incoming : incoming_) {
    if (incoming.request == MPI_REQUEST_NULL) continue;
    idle = false;
    (void)new std::string(std::move(incoming.bytes));  // MPI may still write there
  }
  if (over != 0) {
    (void)outbox_.release();  // its thread may not call MPI any more, and was not asked to end
    return;
  }
  outbox_.reset();
  if (idle) MPI_Comm_free(&comm_);
}

dcp_status Endpoint::Send(int to, const void* data, size_t size, dcp_error** error) {
  const char* at = static_cast<const char*>(data);
  for (;;) {
    const size_t part = std::min(size, kMostInPart);
    size -= part;
    const dcp_status status =
        outbox_->Send(comm_, to, size > 0 ? kMoreParts : kLastPart, std::string(at, part), error);
    if (status != DCP_OK || size == 0) return status;
    at += part;
  }
}

// One look: begins to take a part that has come, or ends one. `whole`: it was the last.
dcp_status Endpoint::Take(int from, bool* whole, bool* moved, dcp_error** error) {
  Incoming& incoming = incoming_[static_cast<size_t>(from)];
  *whole = *moved = false;
  if (incoming.request == MPI_REQUEST_NULL) {
    int there = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status found;
    dcp_status status = Check(MPI_Improbe(from, MPI_ANY_TAG, comm_, &there, &message, &found),
                              "MPI_Improbe", error);
    if (status != DCP_OK || there == 0) return status;
    int count = 0;
    MPI_Get_count(&found, MPI_BYTE, &count);
    incoming.tag = found.MPI_TAG;
    incoming.part = static_cast<size_t>(count);
    incoming.bytes.resize(incoming.bytes.size() + incoming.part);
    status = Check(MPI_Imrecv(incoming.bytes.data() + incoming.bytes.size() - incoming.part, count,
                              MPI_BYTE, &message, &incoming.request),
                   "MPI_Imrecv", error);
    if (status != DCP_OK) return status;
    *moved = true;
  }
  int done = 0;
  const dcp_status status =
      Check(MPI_Test(&incoming.request, &done, MPI_STATUS_IGNORE), "MPI_Test", error);
  if (status != DCP_OK || done == 0) return status;
  incoming.request = MPI_REQUEST_NULL;
  *moved = true;
  *whole = incoming.tag == kLastPart;
  return DCP_OK;
}

dcp_status Endpoint::Receive(int from, int64_t timeout_ms, std::string* out, dcp_error** error) {
  Poll poll(timeout_ms);
  for (;;) {
    bool whole = false;
    bool moved = false;
    const dcp_status status = Take(from, &whole, &moved, error);
    if (status != DCP_OK) return status;
    if (whole) {
      *out = std::exchange(incoming_[static_cast<size_t>(from)].bytes, std::string());
      return DCP_OK;
    }
    if (moved) {
      poll.Moved();
      continue;
    }
    if (!poll.Again()) return Fail(DCP_TIMEOUT, "no message came in time", error);
  }
}

}  // namespace dcp_mpi
