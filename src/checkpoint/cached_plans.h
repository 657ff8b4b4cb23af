// The step "plan" of a save with a plan cache: what plan_cache.h remembers decides what travels.
// Every rank takes part in a gather and a scatter, and, when the scatter asks any rank for its
// whole plan, in one more of each; it asks all ranks or none, so that each knows.
#ifndef DCP_CHECKPOINT_CACHED_PLANS_H_
#define DCP_CHECKPOINT_CACHED_PLANS_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/agreement.h"
#include "checkpoint/plan_cache.h"
#include "checkpoint/save.h"
#include "checkpoint/save_roles.h"
#include "checkpoint/wire.h"

namespace dcp {

// One a save. Borrows all four; the cache is the options'. When it goes without Committed, the
// coordinator forgets.
class CachedPlans {
 public:
  CachedPlans(const SaveOptions& options, Communicator& comm, Agreement* agreement,
              StorageWriter* writer)
      : options_(options),
        comm_(comm),
        agreement_(*agreement),
        writer_(*writer),
        cache_(*options.plan_cache) {}
  ~CachedPlans();
  CachedPlans(const CachedPlans&) = delete;
  CachedPlans& operator=(const CachedPlans&) = delete;

  // kUnsupported where plans cannot be kept. The same on all ranks, as the options are.
  Status Check() const;

  // What this rank is told, for Assigned. That the cache is another save's is a failure to plan
  // like those of `plan_locally`: all ranks hear of it.
  Result<std::string> AgreeOnPlan(const std::function<Result<SavePlan>()>& plan_locally);
  // kCorrupt when it cannot be understood.
  Result<Assignment> Assigned(std::string_view told);

  // The save is committed, as far as this rank knows. SaveResult::plan_reused.
  bool Committed(std::vector<std::string>* warnings);

 private:
  Result<std::string> TellPlan(const std::function<Result<SavePlan>()>& plan_locally);
  Result<std::string> Answer(std::vector<std::string> all);
  Result<std::vector<std::string>> Deal(const std::vector<std::string>& all);
  Status HearAll(const std::vector<std::string>& all);
  Result<std::vector<std::string>> Assign();

  const SaveOptions& options_;
  Communicator& comm_;
  Agreement& agreement_;
  StorageWriter& writer_;
  PlanCache& cache_;
  bool taken_ = false;
  bool committed_ = false;
  bool same_ = false;            // this rank is to write what it wrote
  std::vector<uint32_t> asked_;  // coordinator: for their whole plans
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_CACHED_PLANS_H_
