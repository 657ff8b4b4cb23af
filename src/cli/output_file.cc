#include "cli/output_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cli/text.h"

namespace dcp::cli {
namespace {

Failure SystemFailure(std::string_view what, const std::string& path) {
  return Failure(DCP_IO, fmt::format("{} {}: {}", what, Escape(path), std::strerror(errno)));
}

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = write(fd, bytes.data(), std::min<size_t>(bytes.size(), 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

Failure WriteOutput(const std::string& path, std::string_view first, std::string_view second) {
  if (path == "-") {
    if (std::fflush(stdout) != 0 || !WriteAll(STDOUT_FILENO, first) ||
        !WriteAll(STDOUT_FILENO, second)) {
      return SystemFailure("cannot write", "standard output");
    }
    return Failure();
  }
  std::string temporary = path + ".XXXXXX";
  int fd = mkostemp(temporary.data(), 0);
  if (fd < 0) return SystemFailure("cannot create", path);
  mode_t mask = umask(0);
  umask(mask);
  bool written = fchmod(fd, 0666 & ~mask) == 0 && WriteAll(fd, first) && WriteAll(fd, second);
  int write_errno = errno;
  if (close(fd) != 0 && written) {
    written = false;
    write_errno = errno;
  }
  if (written && std::rename(temporary.c_str(), path.c_str()) == 0) return Failure();
  if (!written) errno = write_errno;
  Failure failure = SystemFailure("cannot write", path);
  unlink(temporary.c_str());
  return failure;
}

}  // namespace dcp::cli
