#include "disk_limit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace dcp::bench {
namespace {

constexpr size_t kBlock = 16 << 20;
constexpr size_t kHugePage = 2 << 20;
constexpr int kThreads = 4;

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

using Memory = std::unique_ptr<char, FreeMemory>;

// A block of bytes that a disk cannot squeeze, in huge pages: small ones would halve the rate.
Memory RandomBlock(uint64_t seed) {
  Memory memory(static_cast<char*>(std::aligned_alloc(kHugePage, kBlock)));
  if (memory == nullptr) return memory;
  madvise(memory.get(), kBlock, MADV_HUGEPAGE);
  uint64_t state = 0x9e3779b97f4a7c15u * seed;
  for (size_t at = 0; at < kBlock; at += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(memory.get() + at, &state, sizeof state);
  }
  return memory;
}

// Calls transfer(block number, memory) for each block, one thread for each memory. False after a
// failure.
template <typename Transfer>
bool ForEachBlock(uint64_t blocks, const std::vector<Memory>& memories, Transfer transfer) {
  std::atomic<uint64_t> next = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  for (const Memory& memory : memories) {
    threads.emplace_back([&] {
      for (uint64_t block = next++; block < blocks && !failed; block = next++) {
        if (!transfer(block, memory.get())) failed = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return !failed;
}

double Seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

}  // namespace

bool MeasureDisk(const std::string& folder, uint64_t bytes, DiskLimit* out, std::string* error) {
  uint64_t blocks = (bytes + kBlock - 1) / kBlock;
  std::string path = folder + "/.disk_limit.XXXXXX";
  int plain = mkstemp(path.data());
  if (plain < 0) {
    *error = "cannot create a file in " + folder + ": " + std::strerror(errno);
    return false;
  }
  int fd = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  unlink(path.c_str());
  out->bytes = blocks * kBlock;
  out->direct = fd >= 0;
  if (!out->direct) fd = dup(plain);
  close(plain);

  std::vector<Memory> memories;
  for (int i = 0; i < kThreads; ++i) memories.push_back(RandomBlock(static_cast<uint64_t>(i) + 1));
  if (memories.back() == nullptr) {
    *error = "no memory for the blocks to write";
    close(fd);
    return false;
  }
  auto offset = [](uint64_t block) { return static_cast<off_t>(block * kBlock); };
  auto begin = std::chrono::steady_clock::now();
  bool fine = ForEachBlock(blocks, memories, [&](uint64_t block, char* memory) {
    return pwrite(fd, memory, kBlock, offset(block)) == static_cast<ssize_t>(kBlock);
  });
  fine = fsync(fd) == 0 && fine;
  out->write_seconds = Seconds(begin);
  if (!out->direct) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  begin = std::chrono::steady_clock::now();
  fine = fine && ForEachBlock(blocks, memories, [&](uint64_t block, char* memory) {
           return pread(fd, memory, kBlock, offset(block)) == static_cast<ssize_t>(kBlock);
         });
  out->read_seconds = Seconds(begin);
  if (!fine) *error = "the disk of " + folder + " failed or is full: " + std::strerror(errno);
  close(fd);
  return fine;
}

}  // namespace dcp::bench
