#include "storage/local/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string_view>
#include <vector>

#include "storage/local/unique_fd.h"

namespace dcp {
namespace {

constexpr int kMaxLinks = 40;     // as the kernel
constexpr int kRaceRetries = 16;  // openat2 says EAGAIN when a rename raced with a ".." in a link

// Pushes the components of `path`, the first one last.
void PushComponents(std::string_view path, std::vector<std::string>& todo) {
  while (!path.empty()) {
    size_t slash = path.rfind('/');
    std::string_view component = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (!component.empty() && component != ".") todo.emplace_back(component);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
}

}  // namespace

int OpenBeneath(int folder, const std::string& path, int flags, mode_t mode, Links links) {
  open_how how = {};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (links == Links::kRefuse) how.resolve |= RESOLVE_NO_SYMLINKS;
  for (int attempt = 0; attempt < kRaceRetries; ++attempt) {
    long fd = syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    // A container's filter answers EPERM for calls it does not know.
    if (errno == ENOSYS || errno == EPERM) {
      return OpenBeneathByHand(folder, path, flags, mode, links);
    }
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return -errno;
}

int OpenBeneathByHand(int folder, const std::string& path, int flags, mode_t mode, Links links) {
  std::vector<std::string> todo;
  PushComponents(path, todo);
  std::vector<UniqueFd> below;  // the folders walked into
  int links_seen = 0;
  while (!todo.empty()) {
    std::string component = std::move(todo.back());
    todo.pop_back();
    if (component == "..") {
      if (below.empty()) return -EXDEV;
      below.pop_back();
      continue;
    }
    int at = below.empty() ? folder : below.back().get();
    bool last = todo.empty();
    int wanted = last ? flags : O_PATH | O_DIRECTORY;
    int fd;
    do {
      fd = openat(at, component.c_str(), wanted | O_NOFOLLOW | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0 && last) return fd;
    if (fd >= 0) {
      below.emplace_back(fd);
      continue;
    }
    int error = errno;
    if (error != ELOOP && error != ENOTDIR) return -error;
    char target[PATH_MAX];
    ssize_t length = readlinkat(at, component.c_str(), target, sizeof target);
    if (length < 0) return -error;  // not a link
    if (links == Links::kRefuse || ++links_seen > kMaxLinks) return -ELOOP;
    if (static_cast<size_t>(length) == sizeof target) return -ENAMETOOLONG;
    if (length > 0 && target[0] == '/') return -EXDEV;
    PushComponents({target, static_cast<size_t>(length)}, todo);
  }
  // The path, or a link's target, was a folder.
  if ((flags & (O_ACCMODE | O_CREAT)) != O_RDONLY) return -EISDIR;
  int at = below.empty() ? folder : below.back().get();
  int fd = openat(at, ".", flags | O_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

}  // namespace dcp
