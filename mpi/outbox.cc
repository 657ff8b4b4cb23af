#include "outbox.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "failure.h"

namespace dcp_mpi {
namespace {

constexpr std::chrono::microseconds kPause{200};

}  // namespace

Outbox::~Outbox() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  for (std::unique_ptr<Letter>& letter : letters_) (void)letter.release();
}

dcp_status Outbox::Send(MPI_Comm comm, int to, int tag, std::string bytes, dcp_error** error) {
  auto letter = std::make_unique<Letter>();
  letter->bytes = std::move(bytes);
  int code = MPI_Isend(letter->bytes.data(), static_cast<int>(letter->bytes.size()), MPI_BYTE, to,
                       tag, comm, &letter->request);
  if (code != MPI_SUCCESS) return Check(code, "MPI_Isend", error);
  int done = 0;
  code = MPI_Test(&letter->request, &done, MPI_STATUS_IGNORE);
  if (code != MPI_SUCCESS) {
    (void)letter.release();
    return Check(code, "MPI_Test", error);
  }
  if (done != 0) return DCP_OK;
  const std::lock_guard lock(mutex_);
  letters_.push_back(std::move(letter));
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { Deliver(); });
    } catch (const std::system_error& problem) {
      return Fail(DCP_OUT_OF_MEMORY, std::string("no thread to send with: ") + problem.what(),
                  error);
    }
  }
  changed_.notify_one();
  return DCP_OK;
}

bool Outbox::empty() {
  const std::lock_guard lock(mutex_);
  return letters_.empty();
}

void Outbox::Deliver() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    changed_.wait(lock, [this] { return stop_ || !letters_.empty(); });
    for (auto letter = letters_.begin(); letter != letters_.end();) {
      int done = 0;
      // A letter that cannot be delivered stays: its receiver is missed by the others' calls.
      const int code = MPI_Test(&(*letter)->request, &done, MPI_STATUS_IGNORE);
      letter = code == MPI_SUCCESS && done != 0 ? letters_.erase(letter) : std::next(letter);
    }
    if (!letters_.empty()) changed_.wait_for(lock, kPause, [this] { return stop_; });
  }
}

}  // namespace dcp_mpi
