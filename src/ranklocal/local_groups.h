// Barriers between threads that find each other by a group's name.
#ifndef DCP_RANKLOCAL_LOCAL_GROUPS_H_
#define DCP_RANKLOCAL_LOCAL_GROUPS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ranklocal/barrier.h"

namespace dcp {

// Any thread.
class LocalGroups {
 public:
  // That of rank `rank` of the group, made when its first rank asks and forgotten when its last
  // has. kMismatch for another world size, kAlreadyExists for a rank that has been given.
  Result<std::shared_ptr<Barrier>> Join(const std::string& group, int64_t rank, int64_t world_size);

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<std::shared_ptr<Communicator>>> groups_;  // null: given
};

}  // namespace dcp

#endif  // DCP_RANKLOCAL_LOCAL_GROUPS_H_
