#include "checkpoint/save.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "checkpoint/agreement.h"
#include "checkpoint/cached_plans.h"
#include "checkpoint/file_writer.h"
#include "checkpoint/leaves.h"
#include "checkpoint/plan_wire.h"
#include "checkpoint/planned_items.h"
#include "checkpoint/pulse.h"
#include "checkpoint/save_id.h"
#include "checkpoint/wire.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr std::string_view kVersion = "1.0.0";
constexpr int32_t kMaxFiles = 4096;

Status CheckOptions(const SaveOptions& options, const Communicator& comm) {
  if (options.coordinator < 0 || options.coordinator >= comm.world_size()) {
    return Error(Code::kInvalidArgument, "coordinator {} is not a rank of the {} there are",
                 options.coordinator, comm.world_size());
  }
  if (options.files < 1 || options.files > kMaxFiles) {
    return Error(Code::kInvalidArgument, "{} data files a rank: give 1 to {}", options.files,
                 kMaxFiles);
  }
  return Status::Ok();
}

class SaveRun {
 public:
  // The leaves to save are found when the plan is made: their failure is this rank's failure.
  using Leaves = std::function<Result<std::vector<FlatLeaf>>()>;

  // `state` is what a planner is set up with; null when there is none.
  SaveRun(StorageWriter& writer, Communicator& comm, ValuePtr state, Leaves find_leaves,
          bool with_paths, const SaveOptions& options, const Engine& engine)
      : writer_(writer),
        comm_(comm),
        state_(std::move(state)),
        find_leaves_(std::move(find_leaves)),
        with_paths_(with_paths),
        options_(options),
        planner_(options.planner.get()),
        engine_(engine),
        agreement_(comm, options.coordinator, options.timeout_ms, "save"),
        pulse_(&agreement_, engine.progress.get()),
        progress_(comm.world_size() == 1 ? engine.progress.get() : &pulse_, options.cancel) {
    if (options.plan_cache != nullptr) cached_.emplace(options, comm, &agreement_, &writer);
  }

  Result<SaveResult> Run() {
    DCP_RETURN_IF_ERROR(CheckOptions(options_, comm_));
    if (cached_) DCP_RETURN_IF_ERROR(cached_->Check());
    DCP_ASSIGN_OR_RETURN(const std::string assignment, AgreeOnPlan());
    Result<Written> written = WriteData(assignment);
    Status committed = options_.use_collectives ? AgreeOnCommit(std::move(written))
                                                : CommitRankByRank(std::move(written));
    if (!committed.ok()) return writer_.Abandon(committed);
    if (cached_) result_.plan_reused = cached_->Committed(&result_.warnings);
    writer_.Settle(durable_, &result_.warnings);
    for (const std::string& warning : result_.warnings) engine_.Log(LogLevel::kWarning, warning);
    return std::move(result_);
  }

 private:
  bool keeps_plan() const { return planner_ != nullptr || writer_.needs_plan(); }

  // ---- plan ----

  // This rank's assignment, encoded: when it cannot be read, that is a failure to write, which the
  // other ranks hear of.
  Result<std::string> AgreeOnPlan() {
    if (cached_) return cached_->AgreeOnPlan([this] { return PlanLocally(); });
    DCP_ASSIGN_OR_RETURN(std::vector<std::string> all, agreement_.Gather("plan", LocalPlan()));
    std::vector<std::string> parts;
    if (agreement_.is_coordinator() && agreement_.failures().empty()) {
      Result<std::vector<std::string>> planned = Deal(std::move(all));
      if (planned.ok()) {
        parts = *std::move(planned);
      } else {
        agreement_.AddFailure(comm_.rank(), "plan", planned.status());
      }
    }
    return agreement_.Scatter("plan", std::move(parts));
  }

  // Encoded; the coordinator keeps its own as it is and tells itself nothing. Without collectives
  // nobody is told.
  Result<std::string> LocalPlan() {
    DCP_ASSIGN_OR_RETURN(SavePlan local, PlanLocally());
    if (keeps_plan()) {
      items_.KeepPlan(local);
      NumberItems(&local);
    }
    if (!options_.use_collectives) {
      std::vector<SavePlan> own;
      own.push_back(std::move(local));
      DCP_ASSIGN_OR_RETURN(own, PlanGlobally(std::move(own)));
      own_plan_ = std::move(own.front());
      return std::string();
    }
    if (!agreement_.is_coordinator()) return EncodePlan(local);
    own_plan_ = std::move(local);
    return std::string();
  }

  Result<SavePlan> PlanLocally() {
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kPlan, 0, 0));
    DCP_ASSIGN_OR_RETURN(std::vector<FlatLeaf> leaves, find_leaves_());
    if (planner_ != nullptr) {
      DCP_RETURN_IF_ERROR(planner_->SetUp(state_, agreement_.is_coordinator()));
    }
    DCP_RETURN_IF_ERROR(writer_.SetUp(Site()));
    DCP_RETURN_IF_ERROR(items_.SetLeaves(std::move(leaves)));
    const auto standard = [this] { return items_.StandardPlan(with_paths_); };
    SavePlan plan;
    if (planner_ != nullptr) {
      DCP_RETURN_IF_ERROR(planner_->CreateLocalPlan(standard, &plan));
    } else {
      DCP_ASSIGN_OR_RETURN(plan, standard());
    }
    DCP_RETURN_IF_ERROR(writer_.PrepareLocalPlan(&plan));
    DCP_RETURN_IF_ERROR(progress_.End());
    return plan;
  }

  SaveSite Site() {
    SaveSite site;
    site.rank = comm_.rank();
    site.world_size = comm_.world_size();
    site.is_coordinator = agreement_.is_coordinator();
    site.use_collectives = options_.use_collectives;
    site.timeout_ms = options_.timeout_ms;
    site.lease = &agreement_.lease();
    site.progress = &progress_;
    site.cancel = options_.cancel;
    return site;
  }

  // The coordinator's part: one assignment a rank, encoded.
  Result<std::vector<std::string>> Deal(std::vector<std::string> all) {
    DCP_ASSIGN_OR_RETURN(const std::string save_id, NewSaveId());
    Assignment assignment;
    assignment.save_id = save_id;
    if (!options_.use_collectives) {
      return std::vector<std::string>(all.size(), EncodeAssignment(assignment));
    }
    std::vector<SavePlan> plans;
    if (keeps_plan() || all.size() == 1) {  // alone: nothing was encoded
      DCP_ASSIGN_OR_RETURN(plans, DecodePlans(std::move(all)));
      DCP_ASSIGN_OR_RETURN(plans, PlanGlobally(std::move(plans)));
    } else {
      DCP_ASSIGN_OR_RETURN(plans, MergePlans(std::move(all)));
    }
    std::vector<std::string> parts;
    for (size_t rank = 0; rank < plans.size(); ++rank) {
      assignment.storage_data = std::move(plans[rank].storage_data);
      assignment.sources = std::move(global_.items[rank]);
      if (planner_ != nullptr) assignment.plan = std::move(plans[rank]);
      parts.push_back(EncodeAssignment(assignment));
    }
    global_.items.clear();  // what is left to do needs the slots and the metadata only
    return parts;
  }

  // The plans of all ranks, folded into global_ as they come; the result has their storage data
  // and nothing else.
  Result<std::vector<SavePlan>> MergePlans(std::vector<std::string> all) {
    PlanReceiver receiver;
    std::vector<SavePlan> plans(all.size());
    for (size_t rank = 0; rank < all.size(); ++rank) {
      Status added;
      if (static_cast<int32_t>(rank) == comm_.rank()) {
        plans[rank].storage_data = std::move(own_plan_.storage_data);
        added = receiver.Add(own_plan_);
        own_plan_ = {};
      } else {
        Result<std::string> storage_data = receiver.Add(all[rank]);
        if (storage_data.ok()) plans[rank].storage_data = *std::move(storage_data);
        added = storage_data.status();
      }
      all[rank] = std::string();
      if (!added.ok()) return added.WithContext(fmt::format("rank {}", rank));
    }
    GlobalPlanOptions global_options;
    global_options.dedup_to_lowest_rank = options_.dedup_to_lowest_rank;
    DCP_ASSIGN_OR_RETURN(global_, receiver.Finish(global_options));
    DCP_RETURN_IF_ERROR(writer_.PrepareGlobalPlan(&plans));
    return plans;
  }

  Result<std::vector<SavePlan>> DecodePlans(std::vector<std::string> all) {
    std::vector<SavePlan> plans;
    plans.reserve(all.size());
    for (size_t rank = 0; rank < all.size(); ++rank) {
      const bool own = static_cast<int32_t>(rank) == comm_.rank();
      Result<SavePlan> plan = own ? std::move(own_plan_) : DecodePlan(all[rank]);
      all[rank] = std::string();
      if (!plan.ok()) return plan.status().WithContext(fmt::format("rank {}", rank));
      plans.push_back(*std::move(plan));
    }
    return plans;
  }

  // As DecodePlan gives them, and as they are in a standard plan: from here on an item is told by
  // where it stands in its rank's own plan.
  static void NumberItems(SavePlan* plan) {
    for (size_t i = 0; i < plan->items.size(); ++i) {
      plan->items[i].source = static_cast<uint32_t>(i);
    }
  }

  // With roles of the host's, or without collectives: the plans as they are.
  Result<std::vector<SavePlan>> PlanGlobally(std::vector<SavePlan> plans) {
    GlobalPlanOptions global_options;
    global_options.dedup_to_lowest_rank = options_.dedup_to_lowest_rank;
    if (planner_ != nullptr && planner_->plans_globally()) {
      const size_t ranks = plans.size();
      DCP_RETURN_IF_ERROR(planner_->CreateGlobalPlan(&plans));
      if (plans.size() != ranks) {
        return Error(Code::kInvalidArgument, "the global plan is for {} ranks of {}", plans.size(),
                     ranks);
      }
      global_options.dedup = false;
    }
    DCP_ASSIGN_OR_RETURN(GlobalSavePlan global,
                         CreateGlobalSavePlan(std::move(plans), global_options));
    global_.metadata = std::move(global.metadata);
    global_.slots = std::move(global.slots);
    for (const SavePlan& plan : global.ranks) {
      std::vector<uint32_t>& sources = global_.items.emplace_back();
      for (const WriteItem& item : plan.items) sources.push_back(item.source);
    }
    DCP_RETURN_IF_ERROR(writer_.PrepareGlobalPlan(&global.ranks));
    return std::move(global.ranks);
  }

  // ---- write ----

  Result<Written> WriteData(std::string_view encoded) {
    DCP_ASSIGN_OR_RETURN(Assignment assignment,
                         cached_ ? cached_->Assigned(encoded) : DecodeAssignment(encoded));
    result_.save_id = assignment.save_id;
    if (!options_.use_collectives) {
      assignment.storage_data = std::move(own_plan_.storage_data);
      assignment.sources = std::move(global_.items.front());
      if (planner_ != nullptr) assignment.plan = std::move(own_plan_);
    }
    DCP_RETURN_IF_ERROR(items_.Assign(assignment, planner_));
    DCP_RETURN_IF_ERROR(
        progress_.Begin(ProgressPhase::kWrite, items_.bytes(), items_.jobs().size()));
    WriteRequest request;
    request.save_id = result_.save_id;
    request.storage_data = assignment.storage_data;
    request.plan = keeps_plan() ? &items_.plan() : nullptr;
    request.jobs = items_.jobs();
    request.resolve = [this](size_t item) { return items_.Resolve(item); };
    DCP_ASSIGN_OR_RETURN(Written written, writer_.WriteData(request));
    result_.bytes_written = written.bytes;
    result_.items_written = written.items;
    result_.files_written = written.files;
    DCP_RETURN_IF_ERROR(progress_.End());
    return written;
  }

  // ---- commit ----

  Status AgreeOnCommit(Result<Written> written) {
    const bool wrote = written.ok();
    Result<std::string> mine = written.status();
    if (wrote && agreement_.is_coordinator()) {
      own_results_ = std::move(written->results);
      mine = std::string();
    } else if (wrote) {
      mine = std::move(written->results);
    }
    Result<std::vector<std::string>> all = agreement_.Gather("write", std::move(mine));
    if (!all.ok()) {
      // The coordinator may have this rank's outcome, and commit.
      bool may_commit = wrote && !agreement_.is_coordinator();
      return may_commit ? LookForCommit(all.status()) : all.status();
    }
    std::string decision;
    bool committed = false;
    if (agreement_.is_coordinator() && agreement_.failures().empty()) {
      (*all)[static_cast<size_t>(comm_.rank())] = std::move(own_results_);
      Result<bool> durable = Finish(*std::move(all));
      committed = durable.ok();
      if (committed) {
        durable_ = *durable;
        decision = EncodeCommitMessage({durable_});
      } else {
        agreement_.AddFailure(comm_.rank(), "write", durable.status());
      }
    }
    Result<std::string> decided = agreement_.Broadcast("write", std::move(decision));
    if (committed) {
      if (!decided.ok()) {
        result_.warnings.push_back(
            fmt::format("the save is committed, but the other ranks could not be told: {}",
                        decided.status().message()));
      }
      return Status::Ok();
    }
    if (!decided.ok()) {
      bool may_commit = agreement_.decision_unknown() && wrote && !agreement_.is_coordinator();
      return may_commit ? LookForCommit(decided.status()) : decided.status();
    }
    DCP_ASSIGN_OR_RETURN(CommitMessage message, DecodeCommitMessage(*decided));
    durable_ = message.synced;
    return Status::Ok();
  }

  // Without collectives: every rank finishes, and publishes when all have, so that a failure before
  // leaves the older checkpoint as it was.
  Status CommitRankByRank(Result<Written> written) {
    Status finished = written.status();
    if (written.ok()) {
      std::vector<std::string> results;
      results.push_back(std::move(written->results));
      finished = Finish(std::move(results)).status();
    }
    DCP_RETURN_IF_ERROR(Together(finished));
    Result<bool> published = writer_.Publish(&result_.warnings);
    if (published.ok()) durable_ = *published;
    Result<std::vector<std::string>> all =
        agreement_.Gather("write", published.ok() ? Result<std::string>(std::string())
                                                  : Result<std::string>(published.status()));
    if (!all.ok()) return published.ok() ? Unheard(all.status()) : all.status();
    if (agreement_.is_coordinator() && agreement_.failures().empty()) {
      if (Status concluded = writer_.Conclude(); !concluded.ok()) {
        agreement_.AddFailure(comm_.rank(), "write", concluded);
      }
    }
    Result<std::string> decided = agreement_.Broadcast("write", "");
    if (decided.ok()) return Status::Ok();
    // Some ranks' metadata are in place already.
    return published.ok() ? Unheard(decided.status()) : decided.status();
  }

  Status Together(const Status& mine) {
    Result<std::string> told = mine.ok() ? Result<std::string>(std::string()) : mine;
    DCP_RETURN_IF_ERROR(agreement_.Gather("write", std::move(told)).status());
    return agreement_.Broadcast("write", "").status();
  }

  Result<bool> Finish(std::vector<std::string> results) {
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kCommit, 0, 0));
    global_.metadata.version = kVersion;
    StorageMeta storage_meta;
    storage_meta.checkpoint_id = writer_.checkpoint_id();
    storage_meta.save_id = result_.save_id;
    global_.metadata.storage_meta = std::move(storage_meta);
    DCP_RETURN_IF_ERROR(options_.cancel.Check());
    DCP_ASSIGN_OR_RETURN(const bool durable, writer_.Finish({&global_.metadata, &global_.slots,
                                                             result_.save_id, std::move(results)},
                                                            &result_.warnings));
    if (Status told = progress_.End(); !told.ok()) {
      result_.warnings.push_back(
          fmt::format("after the commit the progress callback failed: {}", told.message()));
    }
    return durable;
  }

  // This rank gave its outcome and never heard the decision. kOutcomeUnknown unless the metadata
  // is this save's.
  Status LookForCommit(const Status& error) {
    if (writer_.Committed(result_.save_id).value_or(false)) {
      durable_ = false;  // who knows: keep the older files
      result_.warnings.push_back(fmt::format(
          "the save is committed, though the coordinator could not be heard: {}", error.message()));
      return Status::Ok();
    }
    return Unheard(error);
  }

  Status Unheard(const Status& error) const {
    return Error(Code::kOutcomeUnknown,
                 "rank {} wrote its data and never heard whether save {} to {} was committed: {}. "
                 "Open the checkpoint and compare its save_id",
                 comm_.rank(), result_.save_id, writer_.location(), error.message())
        .WithForeign(error.foreign())
        .WithRankFailures(error.rank_failures());
  }

  StorageWriter& writer_;
  Communicator& comm_;
  const ValuePtr state_;
  const Leaves find_leaves_;
  const bool with_paths_;
  const SaveOptions& options_;
  SavePlanner* const planner_;  // may be null
  const Engine& engine_;
  Agreement agreement_;
  Pulse pulse_;
  Progress progress_;

  std::optional<CachedPlans> cached_;
  PlannedItems items_;
  SavePlan own_plan_;        // coordinator, or without collectives
  MergedPlan global_;        // coordinator, or without collectives
  std::string own_results_;  // coordinator only
  bool durable_ = true;
  SaveResult result_;
};

}  // namespace

Result<SaveResult> Save(Store& store, Communicator& comm, const Value& state,
                        const SaveOptions& options, const Engine& engine) {
  const ValuePtr borrowed(ValuePtr(), &state);
  return Save(store, comm, borrowed, options, engine);
}

Result<SaveResult> Save(Store& store, Communicator& comm, Result<ValuePtr> state,
                        const SaveOptions& options, const Engine& engine) {
  const std::unique_ptr<StorageWriter> writer = NewFileWriter(store, options, engine);
  return Save(*writer, comm, std::move(state), options, engine);
}

Result<SaveResult> Save(StorageWriter& writer, Communicator& comm, Result<ValuePtr> state,
                        const SaveOptions& options, const Engine& engine) {
  ValuePtr shown = options.planner && state.ok() ? *state : nullptr;
  auto leaves = [&]() -> Result<std::vector<FlatLeaf>> {
    DCP_RETURN_IF_ERROR(state.status());
    auto found = LeavesOf(**state, options.flatten, FlattenRule::kDefault);
    state = ValuePtr();
    return found;
  };
  return SaveRun(writer, comm, std::move(shown), leaves, options.flatten, options, engine).Run();
}

Result<SaveResult> SaveLeaves(Store& store, Communicator& comm, std::vector<FlatLeaf> leaves,
                              bool with_paths, const SaveOptions& options, const Engine& engine) {
  if (options.planner != nullptr) {
    return Status(Code::kUnsupported, "a copy is made by the library's own planner");
  }
  const std::unique_ptr<StorageWriter> writer = NewFileWriter(store, options, engine);
  auto given = [&]() -> Result<std::vector<FlatLeaf>> { return std::move(leaves); };
  return SaveRun(*writer, comm, nullptr, given, with_paths, options, engine).Run();
}

}  // namespace dcp
