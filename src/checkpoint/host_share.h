// How the ranks of one host find the memory through which they share what they read. It rides on
// the messages that end a load's planning; a rank without it reads for itself.
#ifndef DCP_CHECKPOINT_HOST_SHARE_H_
#define DCP_CHECKPOINT_HOST_SHARE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/shared_memory.h"
#include "metadata/metadata.h"
#include "planner/plan.h"
#include "reader/shared_pieces.h"

namespace dcp {

// True when much of what `plan` makes a rank read lies between what it wants (narrow columns of
// large chunks), so that other ranks are likely to want it.
bool ReadsMuchForOthers(const LoadPlan& plan, const Metadata& metadata);

class HostShare {
 public:
  // Each rank: what it tells the coordinator. Empty when there is nothing to share with.
  std::string Offer();
  // The coordinator, of all ranks' offers (anything that cannot be read is none): what to tell all.
  static std::string Choose(const std::vector<std::string>& offers);
  // Each rank that made an offer: the memory of its host, or null when it is alone there or the
  // memory cannot be had.
  std::unique_ptr<SharedPieces> Join(std::string_view chosen);

 private:
  std::shared_ptr<SharedMemory> own_;
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_HOST_SHARE_H_
