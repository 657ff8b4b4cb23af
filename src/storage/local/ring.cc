#include "storage/local/ring.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/process.h"
#include "storage/open.h"

#if DCP_WITH_IO_URING
#include <liburing.h>
#endif

namespace dcp {
namespace {

constexpr size_t kMaxIdle = 16;

#if DCP_WITH_IO_URING
constexpr size_t kMaxRequest = size_t{1} << 30;  // the kernel does less than 2 GiB at once
constexpr int kSubmitRetries = 100;

bool Supports(io_uring* ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(ring);
  if (probe == nullptr) return false;
  bool all = io_uring_opcode_supported(probe, IORING_OP_READ) != 0 &&
             io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0;
  io_uring_free_probe(probe);
  return all;
}
#endif

}  // namespace

#if DCP_WITH_IO_URING

struct Ring::Kernel {
  io_uring ring;
};

std::unique_ptr<Ring> Ring::Create() {
  auto kernel = std::make_unique<Kernel>();
  if (io_uring_queue_init(kDepth, &kernel->ring, 0) != 0) return nullptr;
  if (!Supports(&kernel->ring)) {
    io_uring_queue_exit(&kernel->ring);
    return nullptr;
  }
  return std::unique_ptr<Ring>(new Ring(std::move(kernel)));
}

// In a forked child this only unmaps and closes the child's own copies.
Ring::~Ring() { io_uring_queue_exit(&kernel_->ring); }

int Ring::Submit() {
  for (int attempt = 0; attempt < kSubmitRetries; ++attempt) {
    int submitted = io_uring_submit(&kernel_->ring);
    if (submitted == 1) {
      ++in_flight_;
      return 0;
    }
    if (submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY) break;
    if (submitted != -EINTR) sched_yield();
  }
  // The entry still lies in the queue: it must never be submitted, its memory is the caller's.
  broken_ = true;
  return EIO;
}

int Ring::Read(int fd, uint64_t offset, MutableBytes out, uint64_t tag) {
  if (!usable()) return EIO;
  io_uring_sqe* entry = io_uring_get_sqe(&kernel_->ring);
  if (entry == nullptr) return EBUSY;
  io_uring_prep_read(entry, fd, out.data(),
                     static_cast<unsigned>(std::min(out.size(), kMaxRequest)), offset);
  io_uring_sqe_set_data64(entry, tag);
  return Submit();
}

int Ring::Write(int fd, uint64_t offset, Bytes data, uint64_t tag) {
  if (!usable()) return EIO;
  io_uring_sqe* entry = io_uring_get_sqe(&kernel_->ring);
  if (entry == nullptr) return EBUSY;
  io_uring_prep_write(entry, fd, data.data(),
                      static_cast<unsigned>(std::min(data.size(), kMaxRequest)), offset);
  io_uring_sqe_set_data64(entry, tag);
  return Submit();
}

int Ring::Wait(Completion* completion) {
  if (foreign() || in_flight_ == 0) return EINVAL;
  io_uring_cqe* entry = nullptr;
  int error;
  do {
    error = io_uring_wait_cqe(&kernel_->ring, &entry);
  } while (error == -EINTR || error == -EAGAIN);
  if (error != 0) return -error;
  *completion = {io_uring_cqe_get_data64(entry), entry->res};
  io_uring_cqe_seen(&kernel_->ring, entry);
  --in_flight_;
  return 0;
}

#else

struct Ring::Kernel {};

std::unique_ptr<Ring> Ring::Create() { return nullptr; }
Ring::~Ring() = default;
int Ring::Submit() { return ENOSYS; }
int Ring::Read(int, uint64_t, MutableBytes, uint64_t) { return ENOSYS; }
int Ring::Write(int, uint64_t, Bytes, uint64_t) { return ENOSYS; }
int Ring::Wait(Completion*) { return ENOSYS; }

#endif

Ring::Ring(std::unique_ptr<Kernel> kernel) : kernel_(std::move(kernel)), owner_(ThisProcess()) {}

bool Ring::foreign() const { return ThisProcess() != owner_; }

std::unique_ptr<Ring> RingPool::Take() {
  {
    std::lock_guard lock(mutex_);
    while (!idle_.empty()) {
      std::unique_ptr<Ring> ring = std::move(idle_.back());
      idle_.pop_back();
      if (ring->usable()) return ring;
    }
  }
  return Ring::Create();
}

void RingPool::Give(std::unique_ptr<Ring> ring) {
  if (ring == nullptr || !ring->usable() || ring->in_flight() != 0) return;
  std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(ring));
}

bool IoUringWorks() { return Ring::Create() != nullptr; }

}  // namespace dcp
