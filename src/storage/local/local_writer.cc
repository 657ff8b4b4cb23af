#include "storage/local/local_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/buffer_pool.h"
#include "base/process.h"
#include "storage/local/file_calls.h"

namespace dcp {
namespace {

// Below this a file is written faster through the page cache: one write and one sync either way.
constexpr uint64_t kSmallFile = uint64_t{1} << 20;

// File systems serialise O_DIRECT writes that do not cover whole blocks of theirs; no common one
// has blocks above this.
constexpr size_t kDirectAlignment = BufferPool::kAlignment;

class LocalWriter final : public WritableFile {
 public:
  LocalWriter(UniqueFd fd, std::string where, bool direct, std::shared_ptr<RingPool> rings)
      : fd_(std::move(fd)),
        where_(std::move(where)),
        alignment_(direct ? kDirectAlignment : 1),
        owner_(ThisProcess()),
        rings_(std::move(rings)) {
    if (direct && rings_ != nullptr) ring_ = rings_->Take();
  }

  ~LocalWriter() override {
    if (ring_ == nullptr) return;
    Ring::Completion ignored;
    while (ring_->in_flight() > 0 && ring_->Wait(&ignored) == 0) {
    }
    rings_->Give(std::move(ring_));
  }

  size_t alignment() const override { return alignment_; }
  size_t depth() const override { return ring_ != nullptr ? Ring::kDepth : 1; }

  Status Start(uint64_t offset, Bytes data, uint64_t token) override {
    DCP_RETURN_IF_ERROR(CheckUsable("write"));
    if (offset % alignment_ != 0 || data.size() % alignment_ != 0 ||
        reinterpret_cast<uintptr_t>(data.data()) % alignment_ != 0) {
      return Error(Code::kInvalidArgument,
                   "cannot write '{}': offset {}, size {} or address is no multiple of {}", where_,
                   offset, data.size(), alignment_);
    }
    uint64_t end;
    if (!CheckedAdd<uint64_t>(offset, data.size(), &end) || end > INT64_MAX) {
      return Error(Code::kInvalidArgument, "cannot write '{}': offset {} + {} bytes overflows",
                   where_, offset, data.size());
    }
    if (in_flight_ == depth()) {
      return Error(Code::kInvalidArgument, "cannot write '{}': {} writes are in flight already",
                   where_, in_flight_);
    }
    if (ring_ != nullptr && !data.empty()) {
      size_t slot = 0;
      while (slots_[slot].used) ++slot;
      if (ring_->Write(fd_.get(), offset, data, slot) == 0) {
        slots_[slot] = {true, offset, data, token};
        ++in_flight_;
        end_ = std::max(end_, end);
        return Status::Ok();
      }
    }
    DCP_RETURN_IF_ERROR(Remember(WriteFully(fd_.get(), offset, data, where_)));
    done_.push_back(token);
    ++in_flight_;
    end_ = std::max(end_, end);
    return Status::Ok();
  }

  Result<uint64_t> Wait() override {
    DCP_RETURN_IF_ERROR(CheckUsable("write"));
    if (in_flight_ == 0) {
      return Error(Code::kInvalidArgument, "no write to '{}' is in flight", where_);
    }
    if (!done_.empty()) {
      uint64_t token = done_.back();
      done_.pop_back();
      --in_flight_;
      return token;
    }
    Ring::Completion completion;
    if (int error = ring_->Wait(&completion); error != 0) {
      return Remember(ErrnoError(error, "wait for a write to", where_));
    }
    Slot& slot = slots_[completion.tag];
    slot.used = false;
    --in_flight_;
    DCP_RETURN_IF_ERROR(Remember(Complete(slot, completion.result)));
    return slot.token;
  }

  Status Finish(uint64_t size, bool durable) override {
    DCP_RETURN_IF_ERROR(CheckUsable("finish"));
    if (in_flight_ != 0) {
      return Error(Code::kInvalidArgument, "cannot finish '{}': {} writes were not waited for",
                   where_, in_flight_);
    }
    if (size > INT64_MAX) {
      return Error(Code::kInvalidArgument, "cannot finish '{}': size {} is no file size", where_,
                   size);
    }
    if (size != end_)
      DCP_RETURN_IF_ERROR(
          Call("set the size of", [&] { return ftruncate(fd_.get(), static_cast<off_t>(size)); }));
    if (durable) {
      // A failed sync may drop the dirty pages: it is never tried again.
      if (fdatasync(fd_.get()) != 0) return Remember(ErrnoError(errno, "sync", where_));
    }
    int fd = fd_.release();
    // Linux has closed the descriptor even when it says EINTR.
    if (close(fd) != 0 && errno != EINTR) return Remember(ErrnoError(errno, "close", where_));
    return Status::Ok();
  }

 private:
  struct Slot {
    bool used = false;
    uint64_t offset = 0;
    Bytes data;
    uint64_t token = 0;
  };

  Status CheckUsable(std::string_view action) const {
    if (ThisProcess() != owner_) {
      return Error(Code::kForked, "cannot {} '{}': it belongs to the process that created it",
                   action, where_);
    }
    if (!failed_.ok()) return failed_;
    if (!fd_) {
      return Error(Code::kInvalidArgument, "cannot {} '{}': it is finished", action, where_);
    }
    return Status::Ok();
  }

  Status Remember(Status status) {
    if (!status.ok()) failed_ = status;
    return status;
  }

  template <typename F>
  Status Call(std::string_view action, F call) {
    while (call() != 0) {
      if (errno != EINTR) return Remember(ErrnoError(errno, action, where_));
    }
    return Status::Ok();
  }

  // What the ring left undone is done here, blocking: short writes, and requests it could not take.
  Status Complete(const Slot& slot, int32_t result) {
    size_t done = 0;
    if (result >= 0) {
      done = static_cast<size_t>(result);
      if (done >= slot.data.size()) return Status::Ok();
      done = done / alignment_ * alignment_;
    } else if (result != -EINTR && result != -EAGAIN && result != -ECANCELED && result != -EINVAL) {
      return ErrnoError(-result, "write", where_)
          .WithDetail("offset", fmt::format("{}", slot.offset));
    }
    return WriteFully(fd_.get(), slot.offset + done, slot.data.subspan(done), where_);
  }

  UniqueFd fd_;
  const std::string where_;
  const size_t alignment_;
  const pid_t owner_;
  const std::shared_ptr<RingPool> rings_;
  std::unique_ptr<Ring> ring_;  // only with O_DIRECT
  std::array<Slot, Ring::kDepth> slots_;
  std::vector<uint64_t> done_;  // tokens of writes that blocked
  size_t in_flight_ = 0;        // slots in use and done_
  uint64_t end_ = 0;            // of what was written
  Status failed_;
};

bool MakeDirect(int fd, const CreateOptions& options) {
  if (!options.direct) return false;
  if (options.expected_size != 0 && options.expected_size < kSmallFile) return false;
  if (DirectAlignment(fd) == 0) return false;
  return fcntl(fd, F_SETFL, O_DIRECT) == 0;
}

}  // namespace

std::unique_ptr<WritableFile> NewLocalWriter(UniqueFd fd, std::string where,
                                             const CreateOptions& options,
                                             std::shared_ptr<RingPool> rings) {
  bool direct = MakeDirect(fd.get(), options);
  return std::make_unique<LocalWriter>(std::move(fd), std::move(where), direct, std::move(rings));
}

}  // namespace dcp
