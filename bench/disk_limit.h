// How fast a folder's disk takes and gives bytes, without the page cache: O_DIRECT in blocks of
// 16 MiB, several at once, synced. The figure that saves and loads are held against.
#ifndef DCP_BENCH_DISK_LIMIT_H_
#define DCP_BENCH_DISK_LIMIT_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace dcp::bench {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

// The blocks that are written, random so that no disk can squeeze them, or read into: one for each
// transfer that runs at once.
class DiskBlocks {
 public:
  static constexpr size_t kSize = 16 << 20;

  DiskBlocks();
  bool fine() const { return memories_.back() != nullptr; }  // false: out of memory
  const std::vector<std::unique_ptr<char, FreeMemory>>& memories() const { return memories_; }

 private:
  std::vector<std::unique_ptr<char, FreeMemory>> memories_;
};

// One file that is written or read past the page cache.
class DiskFile {
 public:
  // A new file in `folder`, gone with this object; null, with the reason, when there can be none.
  static std::unique_ptr<DiskFile> Make(const std::string& folder, std::string* error);
  // An existing one, to be read.
  static std::unique_ptr<DiskFile> Open(const std::string& path, std::string* error);
  ~DiskFile();
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  // False when the file system has no O_DIRECT, so that the page cache is in the way.
  bool direct() const { return direct_; }
  uint64_t size() const { return size_; }
  // Writes whole blocks, at least `bytes`, and syncs. False, with the reason, after a failure.
  bool Write(uint64_t bytes, const DiskBlocks& blocks, std::string* error);
  // Reads all of the file.
  bool Read(const DiskBlocks& blocks, std::string* error);

 private:
  DiskFile(int fd, bool direct, uint64_t size, std::string name)
      : fd_(fd), direct_(direct), size_(size), name_(std::move(name)) {}

  int fd_;
  bool direct_;
  uint64_t size_;
  std::string name_;  // for messages
};

struct DiskLimit {
  uint64_t bytes = 0;   // moved each way, a whole number of blocks
  bool direct = false;  // see DiskFile
  double write_seconds = 0;
  double read_seconds = 0;
};

// Needs `bytes` of free space for a moment. False, with the reason in *error, when the disk is full
// or fails.
bool MeasureDisk(const std::string& folder, uint64_t bytes, DiskLimit* out, std::string* error);

}  // namespace dcp::bench

#endif  // DCP_BENCH_DISK_LIMIT_H_
