#include <algorithm>

#include "checkpoint/plan_cache.h"
#include "checkpoint/plan_cache_digests.h"
#include "checkpoint/plan_wire.h"

namespace dcp {

Result<std::string> RankPlanCache::Tell(const SavePlan& plan) {
  storage_data_ = plan.storage_data;
  whole_ = EncodePlan(plan, "");
  now_ = Agreed();
  same_ = false;
  DCP_ASSIGN_OR_RETURN(now_.plan, Sha256(AsBytes(whole_)));
  if (last_ && last_->plan == now_.plan) return EncodeSamePlan(last_->key, storage_data_);
  return TellWhole();
}

Result<std::vector<uint32_t>> RankPlanCache::Same(const ToldAssignment& told) {
  if (!last_ || last_->plan != now_.plan ||
      !std::equal(told.key.begin(), told.key.end(), last_->key.begin())) {
    return MalformedMessage("an assignment that this rank does not remember");
  }
  same_ = true;
  now_.assignment = last_->assignment;
  now_.sources = last_->sources;
  return now_.sources;
}

Status RankPlanCache::Assigned(const std::vector<uint32_t>& sources) {
  DCP_ASSIGN_OR_RETURN(now_.assignment, AssignmentDigest(sources));
  now_.sources = sources;
  return Status::Ok();
}

Result<std::string> RankPlanCache::TellOutcome(const OutcomeMessage& outcome) {
  DCP_ASSIGN_OR_RETURN(now_.placement, PlacementDigest(outcome.outcome));
  if (same_ && now_.placement == last_->placement) {
    std::vector<uint32_t> crc32;
    crc32.reserve(outcome.outcome.items.size());
    for (const WrittenItem& item : outcome.outcome.items) crc32.push_back(item.crc32);
    auto told = EncodeSamePlacement(last_->key, outcome.save_id, crc32);
    if (told) return *std::move(told);
  }
  return EncodeOutcomeMessage(outcome);
}

Status RankPlanCache::Committed() {
  DCP_ASSIGN_OR_RETURN(now_.key, MakePlanKey(now_.plan, now_.assignment, now_.placement));
  last_ = std::move(now_);
  whole_ = {};
  return Status::Ok();
}

Status PlanCache::Take() {
  if (!taken_.exchange(true)) return Status::Ok();
  return Status(
      Code::kInvalidArgument,
      "the plan cache is in use by another save: wait for its end, or give each family of "
      "checkpoints a plan cache of its own");
}

}  // namespace dcp
