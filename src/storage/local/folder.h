// The root folder of a local store, by descriptor.
#ifndef DCP_STORAGE_LOCAL_FOLDER_H_
#define DCP_STORAGE_LOCAL_FOLDER_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "storage/local/unique_fd.h"

namespace dcp {

class Folder {
 public:
  explicit Folder(std::string path);  // relative ones are taken against the working directory

  // The descriptor, opened now if it was not yet or if the folder it held was removed. kNotFound
  // when there is no folder; kInvalidArgument when the path is something else. Any thread.
  Result<std::shared_ptr<const UniqueFd>> Get() const;

  // Makes the folder and its missing parents.
  Status Make();
  // Makes it durable that Make made them, each in its own parent. Nothing after the first success.
  Status SyncMade();

 private:
  const std::string shown_;  // as given
  const std::string absolute_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  mutable std::shared_ptr<const UniqueFd> held_;
  std::vector<std::string> unsynced_;  // folders with new entries, outermost first
  bool maybe_unsynced_ = false;        // the parent: who made the folder may not have come so far
};

// Names of the regular files right below `folder`; with `follow`, also of symbolic links to
// regular files below it. `where` is for messages.
Result<std::vector<std::string>> ListFolder(int folder, bool follow, const std::string& where);

// Makes the entries of `path` (relative to `folder`, "." for itself) durable.
Status SyncFolderAt(int folder, const std::string& path, const std::string& where);

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_FOLDER_H_
