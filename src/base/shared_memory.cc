#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "base/process.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace dcp {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

Status Failed(const char* what) {
  return Error(Code::kIo, "memory for several processes: {}: {}", what, std::strerror(errno));
}

bool IsIt(const struct stat& found, const SharedMemory::Name& name, size_t size) {
  return S_ISREG(found.st_mode) && found.st_dev == name.device && found.st_ino == name.inode &&
         static_cast<uint64_t>(found.st_size) == size && found.st_uid == geteuid();
}

}  // namespace

Result<std::shared_ptr<SharedMemory>> SharedMemory::Create(size_t size) {
  const int descriptor = memfd_create("libdcp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return Failed("memfd_create");
  struct stat found {};
  if (ftruncate(descriptor, static_cast<off_t>(size)) != 0 ||
      fcntl(descriptor, F_ADD_SEALS, kSeals) != 0 || fstat(descriptor, &found) != 0) {
    Status status = Failed("its size");
    close(descriptor);
    return status;
  }
  return Map(descriptor, size, {ThisProcess(), descriptor, found.st_dev, found.st_ino});
}

Result<std::shared_ptr<SharedMemory>> SharedMemory::Open(const Name& name, size_t size) {
  const std::string path = fmt::format("/proc/{}/fd/{}", name.process, name.descriptor);
  // Looked at before it is opened: opening some files does things.
  struct stat found {};
  if (stat(path.c_str(), &found) != 0 || !IsIt(found, name, size)) {
    return Error(Code::kNotFound, "{} is no memory that is shared", path);
  }
  const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return Failed(path.c_str());
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (fstat(descriptor, &found) != 0 || !IsIt(found, name, size) || seals < 0 ||
      (seals & kSeals) != kSeals) {
    close(descriptor);
    return Error(Code::kNotFound, "{} is no memory that is shared", path);
  }
  return Map(descriptor, size, name);
}

Result<std::shared_ptr<SharedMemory>> SharedMemory::Map(int descriptor, size_t size, Name name) {
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (at == MAP_FAILED) {
    Status status = Failed("mmap");
    close(descriptor);
    return status;
  }
  auto* const made =
      new (std::nothrow) SharedMemory(descriptor, static_cast<std::byte*>(at), size, name);
  if (made == nullptr) {
    munmap(at, size);
    close(descriptor);
    return Status(Code::kOutOfMemory, "out of memory");
  }
  return std::shared_ptr<SharedMemory>(made);
}

SharedMemory::~SharedMemory() {
  munmap(data_, size_);
  close(descriptor_);
}

bool SharedMemory::MakePages(size_t offset, size_t size) const {
  return madvise(data_ + offset, size, MADV_POPULATE_WRITE) == 0;
}

}  // namespace dcp
