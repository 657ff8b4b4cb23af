#include "storage/local/local_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <vector>

#include "base/process.h"
#include "storage/local/file_calls.h"

namespace dcp {
namespace {

// What a reader and its queues share.
struct OpenFile {
  UniqueFd fd;
  uint64_t size;
  std::string where;
  // A second descriptor of the same file, opened for the first cold queue; none where O_DIRECT does
  // not work.
  std::once_flag direct_once;
  UniqueFd direct_fd;
  size_t direct_alignment = 0;

  bool OpenDirect() {
    std::call_once(direct_once, [this] {
      size_t alignment = DirectAlignment(fd.get());
      if (alignment == 0) return;
      // The open file itself, whatever its name leads to by now.
      std::string self = fmt::format("/proc/self/fd/{}", fd.get());
      direct_fd = UniqueFd(open(self.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOCTTY));
      if (direct_fd) direct_alignment = alignment;
    });
    return static_cast<bool>(direct_fd);
  }
};

// Reads past the page cache. What O_DIRECT cannot do (odd ends, refusals) goes through it.
class DirectReadQueue final : public ReadQueue {
 public:
  DirectReadQueue(std::shared_ptr<OpenFile> file, std::shared_ptr<RingPool> rings)
      : file_(std::move(file)), owner_(ThisProcess()), rings_(std::move(rings)) {
    if (rings_ != nullptr) ring_ = rings_->Take();
  }

  ~DirectReadQueue() override {
    if (ring_ == nullptr) return;
    Ring::Completion ignored;
    while (ring_->in_flight() > 0 && ring_->Wait(&ignored) == 0) {
    }
    rings_->Give(std::move(ring_));
  }

  size_t alignment() const override { return file_->direct_alignment; }
  size_t depth() const override { return ring_ != nullptr ? Ring::kDepth : 1; }

  Status Start(uint64_t offset, MutableBytes out, uint64_t token) override {
    DCP_RETURN_IF_ERROR(CheckProcess());
    size_t align = alignment();
    if (offset % align != 0 || out.size() % align != 0 ||
        reinterpret_cast<uintptr_t>(out.data()) % align != 0) {
      return Error(Code::kInvalidArgument,
                   "cannot read '{}': offset {}, size {} or address is no multiple of {}",
                   file_->where, offset, out.size(), align);
    }
    if (in_flight_ == depth()) {
      return Error(Code::kInvalidArgument, "cannot read '{}': {} reads are in flight already",
                   file_->where, in_flight_);
    }
    uint64_t left = file_->size - std::min(offset, file_->size);
    Slot read = {true, offset, out, std::min<uint64_t>(out.size(), left), token};
    if (read.wanted == 0) {
      done_.push_back({token, 0});
    } else if (size_t slot = FreeSlot();
               ring_ != nullptr && ring_->Read(file_->direct_fd.get(), offset, out, slot) == 0) {
      slots_[slot] = read;
    } else {
      ssize_t result =
          pread(file_->direct_fd.get(), out.data(), out.size(), static_cast<off_t>(offset));
      DCP_ASSIGN_OR_RETURN(Done done, Complete(read, result < 0 ? -errno : result));
      done_.push_back(done);
    }
    ++in_flight_;
    return Status::Ok();
  }

  Result<Done> Wait() override {
    DCP_RETURN_IF_ERROR(CheckProcess());
    if (in_flight_ == 0) {
      return Error(Code::kInvalidArgument, "no read of '{}' is in flight", file_->where);
    }
    if (!done_.empty()) {
      Done done = done_.back();
      done_.pop_back();
      --in_flight_;
      return done;
    }
    Ring::Completion completion;
    if (int error = ring_->Wait(&completion); error != 0) {
      return ErrnoError(error, "wait for a read of", file_->where);
    }
    Slot& slot = slots_[completion.tag];
    slot.used = false;
    --in_flight_;
    return Complete(slot, completion.result);
  }

 private:
  struct Slot {
    bool used = false;
    uint64_t offset = 0;
    MutableBytes out;
    size_t wanted = 0;  // of `out`, before the end of the file
    uint64_t token = 0;
  };

  Status CheckProcess() const {
    if (ThisProcess() == owner_) return Status::Ok();
    return Error(Code::kForked, "cannot read '{}': the queue belongs to the process that made it",
                 file_->where);
  }

  size_t FreeSlot() const {
    size_t slot = 0;
    while (slot + 1 < slots_.size() && slots_[slot].used) ++slot;
    return slot;
  }

  // `result`: bytes read or minus errno.
  Result<Done> Complete(const Slot& read, int64_t result) {
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ECANCELED &&
        result != -EINVAL) {
      return ErrnoError(static_cast<int>(-result), "read", file_->where)
          .WithDetail("offset", fmt::format("{}", read.offset));
    }
    size_t have = std::min<uint64_t>(result < 0 ? 0 : static_cast<uint64_t>(result), read.wanted);
    if (have < read.wanted) {
      MutableBytes rest = read.out.subspan(have, read.wanted - have);
      DCP_ASSIGN_OR_RETURN(size_t more,
                           ReadFully(file_->fd.get(), read.offset + have, rest, file_->where));
      have += more;
    }
    return Done{read.token, have};
  }

  const std::shared_ptr<OpenFile> file_;
  const pid_t owner_;
  const std::shared_ptr<RingPool> rings_;
  std::unique_ptr<Ring> ring_;
  std::array<Slot, Ring::kDepth> slots_;
  std::vector<Done> done_;  // reads that blocked
  size_t in_flight_ = 0;    // slots in use and done_
};

class LocalReader final : public ReadableFile {
 public:
  LocalReader(std::shared_ptr<OpenFile> file, std::string name, bool direct,
              std::shared_ptr<RingPool> rings)
      : file_(std::move(file)), name_(std::move(name)), direct_(direct), rings_(std::move(rings)) {}

  std::string_view name() const override { return name_; }
  uint64_t size() const override { return file_->size; }

  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    DCP_RETURN_IF_ERROR(CheckRange("read", offset, out.size()));
    DCP_ASSIGN_OR_RETURN(size_t got, ReadFully(file_->fd.get(), offset, out, file_->where));
    if (got == out.size()) return Status::Ok();
    return Error(Code::kCorrupt, "'{}' ends at byte {}; it had {} bytes when it was opened",
                 file_->where, offset + got, file_->size)
        .WithDetail("file", file_->where)
        .WithDetail("offset", fmt::format("{}", offset + got));
  }

  Result<std::unique_ptr<ReadQueue>> NewQueue(bool cold) const override {
    if (!cold || !direct_ || !file_->OpenDirect()) return NewSimpleReadQueue(this);
    return std::unique_ptr<ReadQueue>(std::make_unique<DirectReadQueue>(file_, rings_));
  }

  bool Cached(uint64_t offset, uint64_t size) const override {
    if (size == 0 || !CheckRange("look at", offset, size).ok()) return false;
    constexpr uint64_t kSamples = 64;
    const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    const uint64_t begin = offset - offset % page;
    const size_t length = offset - begin + size;
    void* base =
        mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file_->fd.get(), static_cast<off_t>(begin));
    if (base == MAP_FAILED) return false;
    const uint64_t pages = (length + page - 1) / page;
    const uint64_t samples = std::min(pages, kSamples);
    uint64_t resident = 0;
    for (uint64_t i = 0; i < samples; ++i) {
      unsigned char in_memory = 0;
      std::byte* at = static_cast<std::byte*>(base) + i * pages / samples * page;
      if (mincore(at, 1, &in_memory) == 0 && (in_memory & 1) != 0) ++resident;
    }
    munmap(base, length);
    return resident >= samples - samples / 8;
  }

  std::optional<FileIdentity> identity() const override {
    struct stat found {};
    if (fstat(file_->fd.get(), &found) != 0) return std::nullopt;
    const auto seconds = static_cast<uint64_t>(found.st_ctim.tv_sec);
    return FileIdentity{found.st_dev, found.st_ino, file_->size,
                        seconds * 1'000'000'000 + static_cast<uint64_t>(found.st_ctim.tv_nsec)};
  }

  void WillNeed(uint64_t offset, uint64_t size) const override {
    if (size == 0 || !CheckRange("fetch", offset, size).ok()) return;
    posix_fadvise(file_->fd.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                  POSIX_FADV_WILLNEED);
  }

  Result<Mapping> Map(uint64_t offset, uint64_t size) const override {
    DCP_RETURN_IF_ERROR(CheckRange("map", offset, size));
    if (size == 0) return Mapping{};
    uint64_t begin = offset - offset % static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    size_t length = offset - begin + size;
    void* base =
        mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file_->fd.get(), static_cast<off_t>(begin));
    if (base == MAP_FAILED) return ErrnoError(errno, "map", file_->where);
    std::shared_ptr<const void> owner(base, [length](void* mapped) { munmap(mapped, length); });
    return Mapping{AsBytes(static_cast<const std::byte*>(base) + (offset - begin), size),
                   std::move(owner)};
  }

 private:
  Status CheckRange(std::string_view action, uint64_t offset, uint64_t size) const {
    if (offset <= file_->size && size <= file_->size - offset) return Status::Ok();
    return Error(Code::kCorrupt, "cannot {} [{}, +{}) of '{}': it has {} bytes", action, offset,
                 size, file_->where, file_->size)
        .WithDetail("file", file_->where)
        .WithDetail("offset", fmt::format("{}", offset));
  }

  const std::shared_ptr<OpenFile> file_;
  const std::string name_;
  const bool direct_;
  const std::shared_ptr<RingPool> rings_;
};

}  // namespace

std::unique_ptr<ReadableFile> NewLocalReader(UniqueFd fd, uint64_t size, std::string name,
                                             std::string where, bool direct,
                                             std::shared_ptr<RingPool> rings) {
  auto file = std::make_shared<OpenFile>();
  file->fd = std::move(fd);
  file->size = size;
  file->where = std::move(where);
  return std::make_unique<LocalReader>(std::move(file), std::move(name), direct, std::move(rings));
}

}  // namespace dcp
