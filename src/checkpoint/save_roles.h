// Who takes part in a save: a planner, who says which items a rank has and what they hold, and a
// storage writer, who stores them and commits. The library has one of each; hosts bring their own
// through dcp.h. Upstream's SavePlanner and StorageWriter; the order of calls is upstream's:
//   every rank      planner.SetUp, writer.SetUp, planner.CreateLocalPlan, writer.PrepareLocalPlan
//   coordinator     planner.CreateGlobalPlan, writer.PrepareGlobalPlan
//   every rank      planner.FinishPlan, planner.ResolveData (any thread), writer.WriteData
//   coordinator     writer.Finish
#ifndef DCP_CHECKPOINT_SAVE_ROLES_H_
#define DCP_CHECKPOINT_SAVE_ROLES_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/progress.h"
#include "checkpoint/lease.h"
#include "planner/save_planner.h"
#include "writer/writer.h"

namespace dcp {

// Where in the group a save runs, and what it is to look at. The pointers outlive the save.
struct SaveSite {
  int32_t rank = 0;
  int32_t world_size = 1;
  bool is_coordinator = true;
  bool use_collectives = true;
  int64_t timeout_ms = -1;
  const Lease* lease = nullptr;
  Progress* progress = nullptr;
  CancelToken cancel;
};

class SavePlanner {
 public:
  virtual ~SavePlanner() = default;
  virtual Status SetUp(const ValuePtr& state, bool is_coordinator) = 0;
  // `plan` is empty; `standard` gives what the library would plan.
  virtual Status CreateLocalPlan(const std::function<Result<SavePlan>()>& standard,
                                 SavePlan* plan) = 0;
  // True: CreateGlobalPlan stands for the library's choice of who writes what several ranks hold.
  // `plans` are all ranks', in rank order; afterwards each has the items that its rank is to write.
  // Metadata is made of them, and validated, by the library.
  virtual bool plans_globally() const = 0;
  virtual Status CreateGlobalPlan(std::vector<SavePlan>* plans) = 0;
  // This rank's part of the global plan; its items may not become others.
  virtual Status FinishPlan(SavePlan* plan) = 0;
  // True: ResolveData is asked for each item when its turn to be written comes.
  virtual bool resolves_data() const = 0;
  // `found`: what the state dict holds there; null when it has no such thing. A tensor for a
  // tensor, of the item's own sizes. Any thread.
  virtual Result<ValuePtr> ResolveData(const SavePlan& plan, size_t item, ValuePtr found) = 0;
};

// A rank's items, with what they hold.
struct WriteRequest {
  std::string_view save_id;
  std::string_view storage_data;   // of this rank's plan, as PrepareGlobalPlan left it
  const SavePlan* plan = nullptr;  // null unless a planner of the host's or needs_plan()
  std::span<const WriteJob> jobs;  // one an item
  std::function<Result<ValuePtr>(size_t)> resolve;  // of late jobs; any thread
};

struct Written {
  std::string results;  // for Finish on the coordinator
  uint64_t bytes = 0;
  uint64_t items = 0;
  uint32_t files = 0;
};

class StorageWriter {
 public:
  virtual ~StorageWriter() = default;
  // For messages.
  virtual std::string_view location() const = 0;
  // What upstream records as checkpoint_id.
  virtual std::string checkpoint_id() const = 0;
  virtual bool needs_plan() const { return false; }
  // Whether it takes part in SaveOptions::plan_cache. It then tells and hears results through the
  // cache and makes its metadata by it: Commit's metadata has version and ids only, and no slots.
  virtual bool keeps_plans() const { return false; }
  // After SetUp, where it does: all that its metadata depends on besides plans and results.
  virtual std::string Steering() const { return {}; }

  virtual Status SetUp(const SaveSite& site) = 0;
  // May set storage_data: it reaches PrepareGlobalPlan, and WriteData as that leaves it.
  virtual Status PrepareLocalPlan(SavePlan* plan) = 0;
  // Each plan's storage_data may be set; the items are there where needs_plan() or a planner of the
  // host's asks for them, and stay.
  virtual Status PrepareGlobalPlan(std::vector<SavePlan>* plans) = 0;
  virtual Result<Written> WriteData(const WriteRequest& request) = 0;

  // What Finish commits. `results` and `slots` are by rank; without collectives they are this
  // rank's alone. Locations and transform sets are the writer's to fill in.
  struct Commit {
    Metadata* metadata;  // may be taken
    const std::vector<std::vector<GlobalSavePlan::Slot>>* slots;
    std::string_view save_id;
    std::vector<std::string> results;
  };
  // On the coordinator, or, without collectives, on every rank, and then Publish on every rank once
  // all have. False: committed, but it may not survive a power cut. Warnings are appended.
  virtual Result<bool> Finish(Commit commit, std::vector<std::string>* warnings) = 0;
  virtual Result<bool> Publish(std::vector<std::string>* /*warnings*/) { return true; }
  // Without collectives, on the coordinator, when all have published.
  virtual Status Conclude() { return Status::Ok(); }

  // After the commit, on every rank, with what Finish returned on the coordinator: what it replaced
  // may go. Warnings are appended.
  virtual void Settle(bool /*durable*/, std::vector<std::string>* /*warnings*/) {}
  // After a failure, on every rank: what WriteData left is to go. Returns `error`, with what more
  // there is to say.
  virtual Status Abandon(const Status& error) { return error; }
  // Whether `save_id` is committed, where it can be told: a rank that never heard asks.
  virtual std::optional<bool> Committed(std::string_view /*save_id*/) { return std::nullopt; }
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_SAVE_ROLES_H_
