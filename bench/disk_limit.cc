#include "disk_limit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace dcp::bench {
namespace {

constexpr size_t kHugePage = 2 << 20;
constexpr int kThreads = 4;

// Calls transfer(offset, memory) for each block of `bytes`, one thread for each memory. Zero, or
// the errno of a failure.
template <typename Transfer>
int ForEachBlock(uint64_t bytes, const DiskBlocks& blocks, Transfer transfer) {
  std::atomic<uint64_t> next = 0;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (const auto& memory : blocks.memories()) {
    threads.emplace_back([&] {
      for (;;) {
        uint64_t offset = next++ * DiskBlocks::kSize;
        if (offset >= bytes || failed != 0) return;
        if (int error_number = transfer(offset, memory.get())) failed = error_number;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failed;
}

// What a transfer of `size` bytes that returned `moved` means: zero or an errno.
int Outcome(ssize_t moved, size_t size) {
  if (moved < 0) return errno;
  return static_cast<size_t>(moved) == size ? 0 : EIO;
}

std::unique_ptr<char, FreeMemory> RandomBlock(uint64_t seed) {
  // Huge pages: small ones would halve the rate.
  std::unique_ptr<char, FreeMemory> memory(
      static_cast<char*>(std::aligned_alloc(kHugePage, DiskBlocks::kSize)));
  if (memory == nullptr) return memory;
  madvise(memory.get(), DiskBlocks::kSize, MADV_HUGEPAGE);
  uint64_t state = 0x9e3779b97f4a7c15u * seed;
  for (size_t at = 0; at < DiskBlocks::kSize; at += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(memory.get() + at, &state, sizeof state);
  }
  return memory;
}

double Seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

}  // namespace

DiskBlocks::DiskBlocks() {
  for (int i = 1; i <= kThreads; ++i) {
    memories_.push_back(RandomBlock(static_cast<uint64_t>(i)));
    if (memories_.back() == nullptr) return;
  }
}

std::unique_ptr<DiskFile> DiskFile::Make(const std::string& folder, std::string* error) {
  std::string path = folder + "/.disk_limit.XXXXXX";
  int plain = mkstemp(path.data());
  if (plain < 0) {
    *error = "cannot create a file in " + folder + ": " + std::strerror(errno);
    return nullptr;
  }
  int fd = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  unlink(path.c_str());
  bool direct = fd >= 0;
  if (direct) {
    close(plain);
  } else {
    fd = plain;
  }
  return std::unique_ptr<DiskFile>(new DiskFile(fd, direct, 0, "the disk of " + folder));
}

std::unique_ptr<DiskFile> DiskFile::Open(const std::string& path, std::string* error) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  bool direct = fd >= 0;
  if (!direct) fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts = {};
  if (fd < 0 || fstat(fd, &facts) != 0) {
    *error = "cannot open " + path + ": " + std::strerror(errno);
    if (fd >= 0) close(fd);
    return nullptr;
  }
  return std::unique_ptr<DiskFile>(
      new DiskFile(fd, direct, static_cast<uint64_t>(facts.st_size), path));
}

DiskFile::~DiskFile() { close(fd_); }

bool DiskFile::Write(uint64_t bytes, const DiskBlocks& blocks, std::string* error) {
  int failed = ForEachBlock(bytes, blocks, [&](uint64_t offset, char* memory) {
    return Outcome(pwrite(fd_, memory, DiskBlocks::kSize, static_cast<off_t>(offset)),
                   DiskBlocks::kSize);
  });
  if (failed == 0 && fsync(fd_) != 0) failed = errno;
  if (failed != 0) {
    *error = name_ + " failed or is full: " + std::strerror(failed);
    return false;
  }
  size_ = (bytes + DiskBlocks::kSize - 1) / DiskBlocks::kSize * DiskBlocks::kSize;
  if (!direct_) posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  return true;
}

bool DiskFile::Read(const DiskBlocks& blocks, std::string* error) {
  int failed = ForEachBlock(size_, blocks, [&](uint64_t offset, char* memory) {
    // Whole blocks are asked for, as O_DIRECT wants it; the last one may give less.
    size_t expected = std::min<uint64_t>(DiskBlocks::kSize, size_ - offset);
    return Outcome(pread(fd_, memory, DiskBlocks::kSize, static_cast<off_t>(offset)), expected);
  });
  if (failed != 0) *error = name_ + " cannot be read: " + std::strerror(failed);
  return failed == 0;
}

bool MeasureDisk(const std::string& folder, uint64_t bytes, DiskLimit* out, std::string* error) {
  std::unique_ptr<DiskFile> file = DiskFile::Make(folder, error);
  if (file == nullptr) return false;
  DiskBlocks blocks;
  if (!blocks.fine()) {
    *error = "no memory for the blocks to write";
    return false;
  }
  out->direct = file->direct();
  auto begin = std::chrono::steady_clock::now();
  if (!file->Write(bytes, blocks, error)) return false;
  out->write_seconds = Seconds(begin);
  out->bytes = file->size();
  begin = std::chrono::steady_clock::now();
  if (!file->Read(blocks, error)) return false;
  out->read_seconds = Seconds(begin);
  return true;
}

}  // namespace dcp::bench
