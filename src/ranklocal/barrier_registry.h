// Barriers by name and configuration: upstream's create_barrier_from_config.
#ifndef DCP_RANKLOCAL_BARRIER_REGISTRY_H_
#define DCP_RANKLOCAL_BARRIER_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "ranklocal/barrier.h"
#include "value/value.h"

namespace dcp {

// Any thread.
class BarrierRegistry {
 public:
  // `arguments` is a dict, or null.
  using Factory = std::function<Result<std::shared_ptr<Barrier>>(const ValuePtr& arguments)>;

  // With those that need nothing from outside:
  //   "single"  one rank; no arguments
  //   "local"   ranks that are threads of one process and ask the same registry: "group" (str),
  //             "global_rank" and "global_world_size" (int). A group's name can be used again when
  //             each of its ranks has been made.
  BarrierRegistry();

  Status Add(std::string name, Factory factory);  // kAlreadyExists for a taken name
  // kInvalidArgument, as upstream says it, for a name that is not known.
  Result<std::shared_ptr<Barrier>> Make(std::string_view name, const ValuePtr& arguments) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Factory, std::less<>> factories_;  // guarded by mutex_
};

}  // namespace dcp

#endif  // DCP_RANKLOCAL_BARRIER_REGISTRY_H_
