// How fast a folder's disk takes and gives bytes, without the page cache: O_DIRECT in blocks of
// 16 MiB, several at once, synced. The figure that saves and loads are held against.
//   disk_limit FOLDER [MiB]
// Prints one line of JSON: {"bytes", "direct", "write_seconds", "read_seconds"}.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBlock = 16 << 20;
constexpr int kThreads = 4;

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

// Calls transfer(block number, memory) for each block, from several threads. False after a failure.
template <typename Transfer>
bool ForEachBlock(uint64_t blocks, Transfer transfer) {
  std::atomic<uint64_t> next = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      std::unique_ptr<char, FreeMemory> memory(
          static_cast<char*>(std::aligned_alloc(4096, kBlock)));
      if (memory == nullptr) {
        failed = true;
        return;
      }
      // Bytes that a disk cannot squeeze.
      uint64_t state = 0x9e3779b97f4a7c15u * static_cast<uint64_t>(i + 1);
      for (size_t at = 0; at < kBlock; at += sizeof state) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::memcpy(memory.get() + at, &state, sizeof state);
      }
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

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: disk_limit FOLDER [MiB]\n");
    return 2;
  }
  uint64_t bytes = (argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1024) << 20;
  uint64_t blocks = (bytes + kBlock - 1) / kBlock;
  bytes = blocks * kBlock;
  std::string path = std::string(argv[1]) + "/.disk_limit.XXXXXX";
  int plain = mkstemp(path.data());
  if (plain < 0) {
    fmt::print(stderr, "cannot create a file in {}: {}\n", argv[1], std::strerror(errno));
    return 1;
  }
  int fd = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  bool direct = fd >= 0;
  if (!direct) fd = plain;
  unlink(path.c_str());

  auto offset = [](uint64_t block) { return static_cast<off_t>(block * kBlock); };
  auto begin = std::chrono::steady_clock::now();
  bool fine = ForEachBlock(blocks, [&](uint64_t block, char* memory) {
    return pwrite(fd, memory, kBlock, offset(block)) == static_cast<ssize_t>(kBlock);
  });
  fine = fsync(fd) == 0 && fine;
  double write_seconds = Seconds(begin);
  if (!direct) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  begin = std::chrono::steady_clock::now();
  fine = fine && ForEachBlock(blocks, [&](uint64_t block, char* memory) {
           return pread(fd, memory, kBlock, offset(block)) == static_cast<ssize_t>(kBlock);
         });
  double read_seconds = Seconds(begin);
  if (!fine) {
    fmt::print(stderr, "the disk of {} failed or is full: {}\n", argv[1], std::strerror(errno));
    return 1;
  }
  fmt::print(
      "{{\"bytes\": {}, \"direct\": {}, \"write_seconds\": {:.4f}, \"read_seconds\": {:.4f}}}\n",
      bytes, direct, write_seconds, read_seconds);
  return 0;
}
