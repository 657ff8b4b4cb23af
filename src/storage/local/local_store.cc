#include "storage/local/local_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "storage/local/beneath.h"
#include "storage/local/file_calls.h"
#include "storage/local/folder.h"
#include "storage/local/local_reader.h"
#include "storage/local/local_writer.h"
#include "storage/path_text.h"

namespace dcp {
namespace {

using FolderFd = std::shared_ptr<const UniqueFd>;

// The folder part of a relative path, "." where it has none.
std::string FolderOf(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? "." : std::string(path.substr(0, slash));
}

std::string LeafOf(std::string_view path) {
  size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

// Writing, renaming and removing never go through symbolic links, whatever the options say.
class LocalStore final : public Store {
 public:
  LocalStore(std::string path, const LocalStoreOptions& options)
      : location_(std::move(path)),
        options_(options),
        folder_(location_),
        rings_(options.io_uring ? std::make_shared<RingPool>() : nullptr) {}

  std::string_view location() const override { return location_; }
  Status MakeRoot() override { return folder_.Make(); }

  Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                               const CreateOptions& options) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    DCP_ASSIGN_OR_RETURN(FolderFd root, folder_.Get());
    if (path.find('/') != std::string_view::npos) {
      DCP_RETURN_IF_ERROR(MakeFolders(root->get(), FolderOf(path)));
    }
    std::string where = Where(path);
    int fd =
        OpenBeneath(root->get(), std::string(path),
                    O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY, 0666, Links::kRefuse);
    if (fd < 0) return PathError(-fd, "create", where);
    UniqueFd owned(fd);
    DCP_RETURN_IF_ERROR(PrepareRegular(fd, "create", where).status());
    MarkChanged(path);
    CreateOptions wanted = options;
    wanted.direct = options.direct && options_.direct;
    return NewLocalWriter(std::move(owned), std::move(where), wanted, rings_);
  }

  Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    DCP_ASSIGN_OR_RETURN(FolderFd root, folder_.Get());
    std::string where = Where(path);
    int fd = OpenBeneath(root->get(), std::string(path), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                         options_.allow_symlinks ? Links::kBeneath : Links::kRefuse);
    if (fd < 0) return PathError(-fd, "open", where);
    UniqueFd owned(fd);
    DCP_ASSIGN_OR_RETURN(uint64_t size, PrepareRegular(fd, "open", where));
    return NewLocalReader(std::move(owned), size, std::string(path), std::move(where),
                          options_.direct, rings_);
  }

  Status Rename(std::string_view from, std::string_view to) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(from));
    DCP_RETURN_IF_ERROR(CheckRelativePath(to));
    DCP_ASSIGN_OR_RETURN(FolderFd root, folder_.Get());
    DCP_ASSIGN_OR_RETURN(UniqueFd from_folder, OpenFolderOf(root->get(), from, "rename"));
    DCP_ASSIGN_OR_RETURN(UniqueFd to_folder, OpenFolderOf(root->get(), to, "rename to"));
    if (renameat(from_folder.get(), LeafOf(from).c_str(), to_folder.get(), LeafOf(to).c_str()) !=
        0) {
      return PathError(errno, "rename", Where(from)).WithDetail("to", Where(to));
    }
    MarkChanged(from);
    MarkChanged(to);
    return Status::Ok();
  }

  Status Remove(std::string_view path) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    DCP_ASSIGN_OR_RETURN(FolderFd root, folder_.Get());
    DCP_ASSIGN_OR_RETURN(UniqueFd folder, OpenFolderOf(root->get(), path, "remove"));
    if (unlinkat(folder.get(), LeafOf(path).c_str(), 0) != 0) {
      return PathError(errno, "remove", Where(path));
    }
    MarkChanged(path);
    return Status::Ok();
  }

  Result<std::vector<std::string>> List() const override {
    DCP_ASSIGN_OR_RETURN(FolderFd root, folder_.Get());
    return ListFolder(root->get(), options_.allow_symlinks, PathText(location_));
  }

  // The root always; the folders below it where something changed since the last success.
  Status SyncFolder() override {
    DCP_ASSIGN_OR_RETURN(FolderFd root, folder_.Get());
    std::set<std::string> changed;
    {
      std::lock_guard lock(mutex_);
      changed.swap(changed_);
    }
    Status status;
    for (const std::string& path : changed) {
      Status one = SyncFolderAt(root->get(), path, Where(path));
      if (status.ok() && one.code() != Code::kNotFound) status = one;
    }
    if (status.ok()) status = SyncFolderAt(root->get(), ".", PathText(location_));
    if (status.ok()) status = folder_.SyncMade();
    if (!status.ok()) {
      std::lock_guard lock(mutex_);
      changed_.merge(changed);
    }
    return status;
  }

 private:
  std::string Where(std::string_view path) const {
    return PathText(location_) + "/" + PathText(path);
  }

  // Refuses all but regular files; their size. Undoes the O_NONBLOCK that kept FIFOs from blocking.
  static Result<uint64_t> PrepareRegular(int fd, std::string_view action,
                                         const std::string& where) {
    struct stat info;
    if (fstat(fd, &info) != 0) return ErrnoError(errno, action, where);
    if (S_ISDIR(info.st_mode)) return PathError(EISDIR, action, where);
    if (!S_ISREG(info.st_mode)) return PathError(ENXIO, action, where);
    if (fcntl(fd, F_SETFL, 0) != 0) return ErrnoError(errno, action, where);
    return static_cast<uint64_t>(info.st_size);
  }

  Result<UniqueFd> OpenFolderOf(int root, std::string_view path, std::string_view action) const {
    int fd = OpenBeneath(root, FolderOf(path), O_PATH | O_DIRECTORY, 0, Links::kRefuse);
    if (fd < 0) return PathError(-fd, action, Where(path));
    return UniqueFd(fd);
  }

  // Makes `path` and the folders it lies in.
  Status MakeFolders(int root, const std::string& path) {
    for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
      std::string prefix = path.substr(0, end);
      DCP_ASSIGN_OR_RETURN(UniqueFd parent, OpenFolderOf(root, prefix, "make the folder"));
      if (mkdirat(parent.get(), LeafOf(prefix).c_str(), 0777) == 0) {
        MarkChanged(prefix);
      } else if (errno != EEXIST) {
        return PathError(errno, "make the folder", Where(prefix));
      }
      if (end == std::string::npos) return Status::Ok();
    }
  }

  void MarkChanged(std::string_view path) {
    if (path.find('/') == std::string_view::npos) return;  // the root is always synced
    std::lock_guard lock(mutex_);
    changed_.insert(FolderOf(path));
  }

  const std::string location_;
  const LocalStoreOptions options_;
  Folder folder_;
  const std::shared_ptr<RingPool> rings_;
  std::mutex mutex_;
  std::set<std::string> changed_;  // folders below the root; guarded by mutex_
};

}  // namespace

std::unique_ptr<Store> NewLocalStore(std::string path, const LocalStoreOptions& options) {
  return std::make_unique<LocalStore>(std::move(path), options);
}

}  // namespace dcp
