#include "checkpoint/cached_plans.h"

#include <utility>

#include "checkpoint/save_id.h"
#include "comm/wire_codec.h"

namespace dcp {

CachedPlans::~CachedPlans() {
  if (!taken_) return;
  if (agreement_.is_coordinator() && !committed_) cache_.coordinator().Forget();
  cache_.Leave();
}

Status CachedPlans::Check() const {
  if (options_.planner != nullptr) {
    return Status(Code::kUnsupported,
                  "a plan cache keeps plans of the library's own planner: save without a planner "
                  "of yours, or without plan_cache");
  }
  if (!writer_.keeps_plans()) {
    return Status(Code::kUnsupported,
                  "a plan cache works with the library's own storage writer: save without one of "
                  "yours, or without plan_cache");
  }
  if (!options_.use_collectives) {
    return Status(Code::kUnsupported,
                  "a plan cache keeps what ranks tell the coordinator, and without collectives "
                  "they tell it nothing: save without plan_cache");
  }
  if (!HasSha256()) {
    return Status(Code::kUnsupported,
                  "plan caches need SHA-256, and this build has no libcrypto: save without "
                  "plan_cache, or build with it");
  }
  return Status::Ok();
}

Result<std::string> CachedPlans::AgreeOnPlan(
    const std::function<Result<SavePlan>()>& plan_locally) {
  DCP_ASSIGN_OR_RETURN(std::vector<std::string> all,
                       agreement_.Gather("plan", TellPlan(plan_locally)));
  DCP_ASSIGN_OR_RETURN(std::string told, Answer(std::move(all)));
  const Result<ToldAssignment> heard = DecodeToldAssignment(told);
  // What is no answer at all is for Assigned to say: a failure to write, which all hear of.
  if (!heard.ok()) return told;
  if (heard->kind != ToldKind::kTellWhole && heard->kind != ToldKind::kWait) return told;
  std::string whole;
  if (heard->kind == ToldKind::kTellWhole) whole = cache_.rank().TellWhole();
  DCP_ASSIGN_OR_RETURN(all, agreement_.Gather("plan", std::move(whole)));
  return Answer(std::move(all));
}

Result<std::string> CachedPlans::TellPlan(const std::function<Result<SavePlan>()>& plan_locally) {
  DCP_RETURN_IF_ERROR(cache_.Take());
  taken_ = true;
  DCP_ASSIGN_OR_RETURN(const SavePlan plan, plan_locally());
  return cache_.rank().Tell(plan);
}

// What was gathered gets its answer: an assignment each, or, the first time, who is asked.
Result<std::string> CachedPlans::Answer(std::vector<std::string> all) {
  std::vector<std::string> parts;
  if (agreement_.is_coordinator() && agreement_.failures().empty()) {
    Result<std::vector<std::string>> dealt = Deal(all);
    if (dealt.ok()) {
      parts = *std::move(dealt);
    } else {
      agreement_.AddFailure(comm_.rank(), "plan", dealt.status());
    }
  }
  return agreement_.Scatter("plan", std::move(parts));
}

Result<std::vector<std::string>> CachedPlans::Deal(const std::vector<std::string>& all) {
  DCP_RETURN_IF_ERROR(HearAll(all));
  std::vector<uint32_t> unknown = cache_.coordinator().Unknown();
  if (unknown.empty()) return Assign();
  if (!asked_.empty()) {
    return MalformedMessage("the whole plan that it was asked for")
        .WithContext(fmt::format("rank {}", unknown.front()));
  }
  std::vector<std::string> parts(all.size(), EncodeAsk(false));
  for (const uint32_t rank : unknown) parts[rank] = EncodeAsk(true);
  asked_ = std::move(unknown);
  return parts;
}

Status CachedPlans::HearAll(const std::vector<std::string>& all) {
  CoordinatorPlanCache& cache = cache_.coordinator();
  std::vector<uint32_t> told = asked_;
  if (told.empty()) {
    WireWriter steering;
    steering.Number(options_.dedup_to_lowest_rank ? 1 : 0);
    steering.Text(writer_.Steering());
    cache.Begin(all.size(), steering.Take());
    for (uint32_t rank = 0; rank < all.size(); ++rank) told.push_back(rank);
  }
  for (const uint32_t rank : told) {
    const Status heard = cache.Hear(rank, all[rank]);
    if (!heard.ok()) return heard.WithContext(fmt::format("rank {}", rank));
  }
  return Status::Ok();
}

Result<std::vector<std::string>> CachedPlans::Assign() {
  CoordinatorPlanCache& cache = cache_.coordinator();
  GlobalPlanOptions global_options;
  global_options.dedup_to_lowest_rank = options_.dedup_to_lowest_rank;
  DCP_RETURN_IF_ERROR(cache.Plan(global_options));
  std::vector<SavePlan> plans(static_cast<size_t>(comm_.world_size()));
  for (uint32_t rank = 0; rank < plans.size(); ++rank) {
    plans[rank].storage_data = cache.storage_data(rank);
  }
  DCP_RETURN_IF_ERROR(writer_.PrepareGlobalPlan(&plans));
  DCP_ASSIGN_OR_RETURN(const std::string save_id, NewSaveId());
  std::vector<std::string> parts;
  parts.reserve(plans.size());
  for (uint32_t rank = 0; rank < plans.size(); ++rank) {
    parts.push_back(cache.Tell(rank, save_id, plans[rank].storage_data));
  }
  return parts;
}

Result<Assignment> CachedPlans::Assigned(std::string_view told) {
  DCP_ASSIGN_OR_RETURN(ToldAssignment heard, DecodeToldAssignment(told));
  if (heard.kind == ToldKind::kAssignment) {
    DCP_ASSIGN_OR_RETURN(Assignment assignment, DecodeAssignment(told));
    DCP_RETURN_IF_ERROR(cache_.rank().Assigned(assignment.sources));
    return assignment;
  }
  if (heard.kind != ToldKind::kSame) return MalformedMessage("an assignment");
  Assignment assignment;
  DCP_ASSIGN_OR_RETURN(assignment.sources, cache_.rank().Same(heard));
  assignment.save_id = std::move(heard.save_id);
  assignment.storage_data = std::move(heard.storage_data);
  same_ = true;
  return assignment;
}

bool CachedPlans::Committed(std::vector<std::string>* warnings) {
  Status kept = cache_.rank().Committed();
  bool reused = same_;
  if (agreement_.is_coordinator()) {
    reused = !cache_.coordinator().planned_anew();
    if (kept.ok()) kept = cache_.coordinator().Committed();
  }
  committed_ = kept.ok();
  if (!committed_) {
    warnings->push_back(fmt::format("the next save plans anew, as this one's plan is not kept: {}",
                                    kept.message()));
  }
  return reused;
}

}  // namespace dcp
