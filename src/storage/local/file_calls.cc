#include "storage/local/file_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/buffer_pool.h"

namespace dcp {
namespace {

constexpr size_t kMaxCall = size_t{1} << 30;  // the kernel does less than 2 GiB at once

// struct statx and STATX_DIOALIGN of <linux/stat.h>, which older headers lack.
constexpr unsigned kStatxDioAlign = 0x2000;
constexpr size_t kStatxSize = 256;
constexpr size_t kStatxMemAlignAt = 152;
constexpr size_t kStatxOffsetAlignAt = 156;

}  // namespace

Status PathError(int error_number, std::string_view action, const std::string& where) {
  auto refuse = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, "cannot {} '{}': {}", action, where, why)
        .WithDetail("file", where)
        .WithDetail("errno", fmt::format("{}", error_number));
  };
  switch (error_number) {
    case ELOOP:
      return refuse("it is, or leads through, a symbolic link that may not be followed");
    case EXDEV:
      return refuse("it leads out of the checkpoint's folder");
    case EISDIR:
      return refuse("it is a folder, not a regular file");
    case ENOTDIR:
      return refuse("a part of its path is not a folder");
    case ENXIO:
    case ENODEV:
      return refuse("it is a FIFO, socket or device, not a regular file");
    case ENAMETOOLONG:
      return refuse("the name is too long");
    default:
      return ErrnoError(error_number, action, where);
  }
}

Status WriteFully(int fd, uint64_t offset, Bytes data, const std::string& where) {
  while (!data.empty()) {
    ssize_t done =
        pwrite(fd, data.data(), std::min(data.size(), kMaxCall), static_cast<off_t>(offset));
    if (done > 0) {
      offset += static_cast<uint64_t>(done);
      data = data.subspan(static_cast<size_t>(done));
      continue;
    }
    int error = done < 0 ? errno : ENOSPC;
    if (error == EINTR) continue;
    int flags = error == EINVAL ? fcntl(fd, F_GETFL) : -1;
    if (flags >= 0 && (flags & O_DIRECT) != 0 && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0) {
      continue;
    }
    return ErrnoError(error, "write", where).WithDetail("offset", fmt::format("{}", offset));
  }
  return Status::Ok();
}

Result<size_t> ReadFully(int fd, uint64_t offset, MutableBytes out, const std::string& where) {
  size_t total = 0;
  while (total < out.size()) {
    ssize_t done = pread(fd, out.data() + total, std::min(out.size() - total, kMaxCall),
                         static_cast<off_t>(offset + total));
    if (done == 0) break;
    if (done > 0) {
      total += static_cast<size_t>(done);
    } else if (errno != EINTR) {
      return ErrnoError(errno, "read", where)
          .WithDetail("offset", fmt::format("{}", offset + total));
    }
  }
  return total;
}

size_t DirectAlignment(int fd) {
  alignas(8) std::byte raw[kStatxSize] = {};
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, kStatxDioAlign, raw) == 0 &&
      (LoadLe<uint32_t>(raw) & kStatxDioAlign) != 0) {
    size_t align = std::max(LoadLe<uint32_t>(raw + kStatxMemAlignAt),
                            LoadLe<uint32_t>(raw + kStatxOffsetAlignAt));
    bool served = LoadLe<uint32_t>(raw + kStatxOffsetAlignAt) != 0 &&
                  align <= BufferPool::kAlignment && BufferPool::kAlignment % align == 0;
    return served ? BufferPool::kAlignment : 0;
  }
  return BufferPool::kAlignment;
}

}  // namespace dcp
