#include "storage/local/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "storage/local/beneath.h"
#include "storage/local/file_calls.h"
#include "storage/path_text.h"

namespace dcp {
namespace {

std::string Absolute(const std::string& path) {
  if (path.front() == '/') return path;
  char here[PATH_MAX];
  if (getcwd(here, sizeof here) == nullptr) return path;
  return std::string(here) + "/" + path;
}

// "a/b" for "a/b/c" and for "a/b/c/"; "/" for "/a"; empty where there is none.
std::string ParentOf(const std::string& path) {
  size_t end = path.find_last_not_of('/');
  size_t slash = end == std::string::npos ? end : path.rfind('/', end);
  if (slash == std::string::npos) return {};
  size_t last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

Status SyncPath(const std::string& path) {
  UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || fsync(folder.get()) != 0) return ErrnoError(errno, "sync the folder", path);
  return Status::Ok();
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

bool IsRegular(int folder, const dirent& entry, bool follow) {
  struct stat info;
  unsigned char type = entry.d_type;
  if (type == DT_UNKNOWN) {
    if (fstatat(folder, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
    if (S_ISREG(info.st_mode)) return true;
    if (S_ISLNK(info.st_mode)) type = DT_LNK;
  }
  if (type != DT_LNK || !follow) return type == DT_REG;
  UniqueFd fd(
      OpenBeneath(folder, entry.d_name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, Links::kBeneath));
  return fd && fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

Folder::Folder(std::string path) : shown_(std::move(path)), absolute_(Absolute(shown_)) {}

Result<std::shared_ptr<const UniqueFd>> Folder::Get() const {
  std::lock_guard lock(mutex_);
  struct stat info;
  if (held_ && fstat(held_->get(), &info) == 0 && info.st_nlink > 0) return held_;
  held_.reset();
  int fd = open(absolute_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A folder that may be entered but not listed still has files to open.
  if (fd < 0 && errno == EACCES) fd = open(absolute_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == ENOTDIR) {
    return Error(Code::kInvalidArgument, "cannot open the checkpoint '{}': it is not a folder",
                 PathText(shown_))
        .WithDetail("file", PathText(shown_));
  }
  if (fd < 0) return ErrnoError(errno, "open the checkpoint", PathText(shown_));
  held_ = std::make_shared<const UniqueFd>(fd);
  return held_;
}

Status Folder::Make() {
  std::vector<std::string> missing;  // innermost first
  struct stat info;
  for (std::string path = absolute_; !path.empty() && stat(path.c_str(), &info) != 0;
       path = ParentOf(path)) {
    if (errno != ENOENT) return PathError(errno, "make the folder", PathText(path));
    missing.push_back(path);
  }
  std::vector<std::string> parents;
  for (auto path = missing.rbegin(); path != missing.rend(); ++path) {
    // Another rank may be making it too; each of us syncs the parent.
    if (mkdir(path->c_str(), 0777) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "make the folder", PathText(*path));
    }
    std::string parent = ParentOf(*path);
    parents.push_back(parent.empty() ? "." : std::move(parent));
  }
  {
    std::lock_guard lock(mutex_);
    held_.reset();  // it may have been another folder by this name
    unsynced_.insert(unsynced_.end(), parents.begin(), parents.end());
    maybe_unsynced_ = parents.empty();
  }
  return Get().status();
}

Status Folder::SyncMade() {
  std::lock_guard lock(mutex_);
  while (!unsynced_.empty()) {
    DCP_RETURN_IF_ERROR(SyncPath(unsynced_.front()));
    unsynced_.erase(unsynced_.begin());
  }
  // A run killed before its sync may have made the folder.
  if (maybe_unsynced_) (void)SyncPath(ParentOf(absolute_));
  maybe_unsynced_ = false;
  return Status::Ok();
}

Result<std::vector<std::string>> ListFolder(int folder, bool follow, const std::string& where) {
  UniqueFd own(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return ErrnoError(errno, "list", where);
  std::unique_ptr<DIR, CloseDir> dir(fdopendir(own.get()));
  if (dir == nullptr) return ErrnoError(errno, "list", where);
  own.release();  // closed with `dir`
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) break;
    if (IsRegular(folder, *entry, follow)) names.emplace_back(entry->d_name);
  }
  if (errno != 0) return ErrnoError(errno, "list", where);
  return names;
}

Status SyncFolderAt(int folder, const std::string& path, const std::string& where) {
  int fd = OpenBeneath(folder, path, O_RDONLY | O_DIRECTORY, 0, Links::kRefuse);
  if (fd < 0) return PathError(-fd, "open the folder", where);
  UniqueFd own(fd);
  while (fsync(own.get()) != 0) {
    if (errno != EINTR) return ErrnoError(errno, "sync the folder", where);
  }
  return Status::Ok();
}

}  // namespace dcp
