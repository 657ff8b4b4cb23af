// Opens files below a folder so that no name, link or race leads out of it.
#ifndef DCP_STORAGE_LOCAL_BENEATH_H_
#define DCP_STORAGE_LOCAL_BENEATH_H_

#include <sys/types.h>

#include <string>

namespace dcp {

enum class Links {
  kRefuse,   // ELOOP for a symbolic link anywhere in the path
  kBeneath,  // followed as long as they stay below the folder; EXDEV when they do not
};

// As openat(folder, path, flags | O_CLOEXEC, mode), see Links. `path` is relative. A descriptor, or
// minus errno. Uses openat2 (Linux 5.6); where that is missing or forbidden, OpenBeneathByHand.
int OpenBeneath(int folder, const std::string& path, int flags, mode_t mode, Links links);

// The same, one component at a time by openat with O_NOFOLLOW. Only O_PATH together with
// O_DIRECTORY.
int OpenBeneathByHand(int folder, const std::string& path, int flags, mode_t mode, Links links);

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_BENEATH_H_
