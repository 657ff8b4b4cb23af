// What the machine itself can do, for the same bytes.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#if DCP_WITH_ISAL
#include <isa-l.h>
#else
#include <zlib.h>
#endif

#include "commands.h"
#include "measure.h"
#include "state.h"

namespace dcp::bench {
namespace {

#if DCP_WITH_ISAL
constexpr const char* kCrcBy = "isa-l";
uint32_t Crc32(uint32_t crc, const char* data, size_t size) {
  return crc32_gzip_refl(crc, reinterpret_cast<const unsigned char*>(data), size);
}
#else
constexpr const char* kCrcBy = "zlib";
uint32_t Crc32(uint32_t crc, const char* data, size_t size) {
  return static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const unsigned char*>(data), size));
}
#endif

DiskBlocks Blocks() {
  DiskBlocks blocks;
  if (!blocks.fine()) Die("no memory for the blocks");
  return blocks;
}

void AddDirect(bool direct, Result* result) {
  result->Add("direct", static_cast<uint64_t>(direct ? 1 : 0));
}

}  // namespace

void LimitWriteCommand(const Arguments& arguments) {
  std::string error;
  DiskBlocks blocks = Blocks();
  std::string folder = arguments.Text("folder");
  uint64_t bytes = arguments.Number("bytes");
  Result result;
  Measure measure;
  std::unique_ptr<DiskFile> file = DiskFile::Make(folder, &error);
  if (file == nullptr || !file->Write(bytes, blocks, &error)) Die(error);
  measure.Stop(&result);
  AddDirect(file->direct(), &result);
  result.Add("bytes", file->size());
  result.Print();
}

void LimitReadCommand(const Arguments& arguments) {
  std::string error;
  DiskBlocks blocks = Blocks();
  std::vector<std::string> paths;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(arguments.Text("folder"))) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  Result result;
  uint64_t bytes = 0;
  bool direct = true;
  Measure measure;
  for (const std::string& path : paths) {
    std::unique_ptr<DiskFile> file = DiskFile::Open(path, &error);
    if (file == nullptr || !file->Read(blocks, &error)) Die(error);
    bytes += file->size();
    direct = direct && file->direct();
  }
  measure.Stop(&result);
  AddDirect(direct, &result);
  result.Add("bytes", bytes);
  result.Print();
}

void LimitCopyCommand(const Arguments& arguments) {
  uint64_t bytes = arguments.Number("bytes");
  uint64_t count = std::max<uint64_t>(arguments.Number("threads", 1), 1);
  std::unique_ptr<char, FreeMemory> from = Payload(bytes, 0);
  std::unique_ptr<char, FreeMemory> into = Payload(bytes, 1);
  uint64_t part = (bytes + count - 1) / count;
  std::vector<std::thread> threads;
  Result result;
  Measure measure;
  for (uint64_t at = 0; at < bytes; at += part) {
    threads.emplace_back(
        [&, at] { std::memcpy(into.get() + at, from.get() + at, std::min(part, bytes - at)); });
  }
  for (std::thread& thread : threads) thread.join();
  measure.Stop(&result);
  CheckPayload("the copy", into.get(), bytes, 0, 0);
  result.Add("bytes", bytes);
  result.Print();
}

void LimitCachedWriteCommand(const Arguments& arguments) {
  constexpr uint64_t kBlock = 1 << 20;
  uint64_t bytes = arguments.Number("bytes");
  std::unique_ptr<char, FreeMemory> from = Payload(bytes, 0);
  std::string path = arguments.Text("folder") + "/.cached_write.XXXXXX";
  Result result;
  uint32_t crc = 0;
  {
    Measure measure;
    int fd = mkstemp(path.data());
    if (fd < 0) Die("cannot create " + path + ": " + std::strerror(errno));
    unlink(path.c_str());
    for (uint64_t at = 0; at < bytes; at += kBlock) {
      uint64_t size = std::min(kBlock, bytes - at);
      crc = Crc32(crc, from.get() + at, size);
      if (write(fd, from.get() + at, size) != static_cast<ssize_t>(size)) {
        Die(std::string("a write failed: ") + std::strerror(errno));
      }
    }
    measure.Stop(&result);
    close(fd);
  }
  result.Add("bytes", bytes);
  result.Add("crc32", static_cast<uint64_t>(crc));
  result.Add("crc32_by", std::string(kCrcBy));
  result.Print();
}

void LimitPreadsCommand(const Arguments& arguments) {
  uint64_t bytes = arguments.Number("bytes");
  uint64_t count = arguments.Number("count");
  std::string path = arguments.Text("folder") + "/" + arguments.Text("file");
  std::unique_ptr<char, FreeMemory> into = Payload(bytes, 0);
  Result result;
  Measure measure;
  for (uint64_t i = 0; i < count; ++i) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) Die("cannot open " + path + ": " + std::strerror(errno));
    struct stat facts = {};
    uint64_t size = fstat(fd, &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
    if (size < bytes) Die(path + " is shorter than what is to be read");
    auto offset = static_cast<off_t>((size - bytes) / count * i);
    if (pread(fd, into.get(), bytes, offset) != static_cast<ssize_t>(bytes)) {
      Die("cannot read " + path + ": " + std::strerror(errno));
    }
    close(fd);
  }
  measure.Stop(&result);
  result.Add("bytes", bytes * count);
  result.Print();
}

}  // namespace dcp::bench
