#include "checkpoint/save.h"

#include <algorithm>
#include <functional>

#include "checkpoint/agreement.h"
#include "checkpoint/commit.h"
#include "checkpoint/leased_store.h"
#include "checkpoint/leaves.h"
#include "checkpoint/plan_wire.h"
#include "checkpoint/pulse.h"
#include "checkpoint/save_id.h"
#include "checkpoint/wire.h"
#include "reader/metadata_files.h"
#include "value/names.h"
#include "writer/writer.h"

namespace dcp {
namespace {

constexpr std::string_view kVersion = "1.0.0";
constexpr int32_t kMaxFiles = 4096;

using Transforms = std::vector<std::shared_ptr<const Transform>>;

Result<Transforms> FindTransforms(const TransformRegistry& registry,
                                  const std::vector<std::string>& names) {
  Transforms found;
  std::vector<std::string> known = registry.Descriptors();
  for (const std::string& name : names) {
    std::string descriptor = name;
    for (const std::string& candidate : known) {
      if (candidate.substr(0, candidate.rfind('/')) == name) descriptor = candidate;
    }
    DCP_ASSIGN_OR_RETURN(auto transform, registry.Find(descriptor));
    found.push_back(std::move(transform));
  }
  return found;
}

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

// What an item holds: exactly one of the two.
struct Payload {
  const Tensor* tensor = nullptr;
  const Value* object = nullptr;
};

Payload PayloadOf(const FlatLeaf& leaf, uint32_t shard) {
  const Value& value = *leaf.value;
  if (value.kind == ValueKind::kTensor) return {&value.tensor, nullptr};
  if (value.kind == ValueKind::kShardedTensor)
    return {&value.sharded->shards[shard].tensor, nullptr};
  return {nullptr, &value};
}

class SaveRun {
 public:
  // The leaves to save are found when the plan is made: their failure is this rank's failure.
  using Leaves = std::function<Result<std::vector<FlatLeaf>>()>;

  SaveRun(Store& store, Communicator& comm, Leaves find_leaves, bool with_paths,
          const SaveOptions& options, const Engine& engine)
      : comm_(comm),
        find_leaves_(std::move(find_leaves)),
        with_paths_(with_paths),
        options_(options),
        engine_(engine),
        agreement_(comm, options.coordinator, options.timeout_ms, "save"),
        leased_(comm.world_size() == 1 ? nullptr : NewLeasedStore(&store, &agreement_.lease())),
        store_(leased_ == nullptr ? store : *leased_),
        pulse_(&agreement_, engine.progress.get()),
        progress_(comm.world_size() == 1 ? engine.progress.get() : &pulse_, options.cancel) {}

  Result<SaveResult> Run() {
    DCP_RETURN_IF_ERROR(CheckOptions(options_, comm_));
    DCP_ASSIGN_OR_RETURN(const std::string assignment, AgreeOnPlan());
    Result<WriteOutcome> written = WriteData(assignment);
    if (written.ok()) written_files_ = written->files;
    Status committed = AgreeOnCommit(std::move(written));
    if (!committed.ok()) return CleanUp(committed);
    RemoveOlder();
    for (const std::string& warning : result_.warnings) engine_.Log(LogLevel::kWarning, warning);
    return std::move(result_);
  }

 private:
  // ---- plan ----

  // This rank's assignment, encoded: when it cannot be read, that is a failure to write, which the
  // other ranks hear of.
  Result<std::string> AgreeOnPlan() {
    DCP_ASSIGN_OR_RETURN(std::vector<std::string> all, agreement_.Gather("plan", LocalPlan()));
    std::vector<std::string> parts;
    if (agreement_.is_coordinator() && agreement_.failures().empty()) {
      Result<std::vector<std::string>> planned = PlanGlobally(std::move(all));
      if (planned.ok()) {
        parts = *std::move(planned);
      } else {
        agreement_.AddFailure(comm_.rank(), "plan", planned.status());
      }
    }
    return agreement_.Scatter("plan", std::move(parts));
  }

  // Encoded; the coordinator keeps its own as it is and tells itself nothing.
  Result<std::string> LocalPlan() {
    DCP_ASSIGN_OR_RETURN(PlanMessage local, PlanLocally());
    if (!agreement_.is_coordinator()) return EncodePlanMessage(local);
    own_plan_ = std::move(local);
    return std::string();
  }

  Result<PlanMessage> PlanLocally() {
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kPlan, 0, 0));
    DCP_ASSIGN_OR_RETURN(FolderState folder, InspectFolder(store_));
    DCP_RETURN_IF_ERROR(CheckOverwrite(store_, folder, options_.overwrite));
    DCP_ASSIGN_OR_RETURN(transforms_, FindTransforms(*engine_.transforms, options_.transforms));
    DCP_ASSIGN_OR_RETURN(leaves_, find_leaves_());
    DCP_RETURN_IF_ERROR(CheckLeaves());
    PlanMessage message;
    message.next_generation = folder.next_generation;
    message.plan = CreateLocalSavePlan(leaves_, with_paths_);
    sources_ = LocalSources(leaves_);
    if (sources_.size() != message.plan.items.size()) {
      return Error(Code::kInternal, "a plan of {} items from {} sources", message.plan.items.size(),
                   sources_.size());
    }
    DCP_RETURN_IF_ERROR(store_.MakeRoot());
    DCP_RETURN_IF_ERROR(progress_.End());
    return message;
  }

  Status CheckLeaves() const {
    for (const FlatLeaf& leaf : leaves_) {
      if (leaf.value->kind != ValueKind::kShardedTensor) continue;
      const ShardedTensor& sharded = *leaf.value->sharded;
      for (const ShardedTensor::Shard& shard : sharded.shards) {
        if (shard.tensor.dtype == sharded.dtype) continue;
        return Error(Code::kInvalidArgument, "a shard of {} has dtype {}, the whole has {}",
                     PrintableName(leaf.name), DTypeName(shard.tensor.dtype),
                     DTypeName(sharded.dtype));
      }
    }
    return Status::Ok();
  }

  Result<std::vector<std::string>> PlanGlobally(std::vector<std::string> all) {
    PlanReceiver receiver;
    uint64_t generation = own_plan_.next_generation;
    for (size_t rank = 0; rank < all.size(); ++rank) {
      const bool own = static_cast<int32_t>(rank) == comm_.rank();
      Status added;
      if (own) {
        added = receiver.Add(own_plan_.plan);
        own_plan_ = {};
      } else {
        Result<uint64_t> next = receiver.Add(all[rank]);
        if (next.ok()) generation = std::max(generation, *next);
        added = next.status();
      }
      all[rank] = std::string();
      if (!added.ok()) return added.WithContext(fmt::format("rank {}", rank));
    }
    GlobalPlanOptions global_options;
    global_options.dedup_to_lowest_rank = options_.dedup_to_lowest_rank;
    DCP_ASSIGN_OR_RETURN(global_, receiver.Finish(global_options));
    DCP_ASSIGN_OR_RETURN(std::string save_id, NewSaveId());
    std::vector<std::string> parts;
    for (std::vector<uint32_t>& items : global_.items) {
      parts.push_back(EncodeAssignment({save_id, generation, std::move(items)}));
    }
    global_.items.clear();  // what is left to do needs the slots and the metadata only
    return parts;
  }

  // ---- write ----

  Result<WriteOutcome> WriteData(std::string_view assignment) {
    DCP_ASSIGN_OR_RETURN(assignment_, DecodeAssignment(assignment));
    result_.save_id = assignment_.save_id;
    std::vector<WriteJob> jobs;
    jobs.reserve(assignment_.sources.size());
    uint64_t bytes = 0;
    for (uint32_t number : assignment_.sources) {
      if (number >= sources_.size()) {
        return Error(Code::kInternal, "the coordinator assigned item {} of the {} there are",
                     number, sources_.size());
      }
      const FlatLeaf& leaf = leaves_[sources_[number].leaf];
      Payload payload = PayloadOf(leaf, sources_[number].shard);
      WriteJob job;
      job.name = leaf.name;
      job.tensor = payload.tensor;
      job.object = payload.object;
      if (payload.tensor != nullptr) {
        bytes += static_cast<uint64_t>(payload.tensor->num_bytes());
        DCP_ASSIGN_OR_RETURN(job.global_bytes, GlobalBytes(*leaf.value, *payload.tensor));
      }
      jobs.push_back(job);
    }
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kWrite, bytes, jobs.size()));
    DCP_ASSIGN_OR_RETURN(WriteOutcome outcome, WriteItems(store_, jobs, MakeWriterOptions()));
    if (outcome.items.size() != jobs.size()) {
      return Undo(outcome, Error(Code::kInternal, "{} items written of {}", outcome.items.size(),
                                 jobs.size()));
    }
    Status ended = progress_.End();
    // The coordinator syncs the folder before the commit; other hosts may have their own view.
    if (ended.ok() && options_.durable && !agreement_.is_coordinator()) ended = store_.SyncFolder();
    if (!ended.ok()) return Undo(outcome, ended);
    return outcome;
  }

  static Result<int64_t> GlobalBytes(const Value& value, const Tensor& tensor) {
    if (value.kind != ValueKind::kShardedTensor) return tensor.num_bytes();
    DCP_ASSIGN_OR_RETURN(int64_t elements, NumElements(value.sharded->global_shape));
    int64_t bytes;
    if (!CheckedMul(elements, DTypeSize(tensor.dtype), &bytes)) bytes = INT64_MAX;
    return bytes;
  }

  WriterOptions MakeWriterOptions() const {
    WriterOptions writer;
    writer.files = options_.files;
    writer.file_per_item = options_.file_per_item;
    writer.durable = options_.durable;
    writer.direct = options_.direct;
    writer.block_checksums = options_.block_checksums;
    writer.transforms = transforms_;
    writer.pool = engine_.PoolOrNew();
    writer.copier = engine_.copier.get();
    writer.progress = &progress_;
    writer.cancel = options_.cancel;
    writer.file_name = [rank = comm_.rank(), generation = assignment_.generation](size_t n) {
      return DataFileName(rank, n, generation);
    };
    return writer;
  }

  Status Undo(const WriteOutcome& outcome, const Status& error) {
    written_files_ = outcome.files;
    return CleanUp(error);
  }

  // ---- commit ----

  Status AgreeOnCommit(Result<WriteOutcome> written) {
    Result<std::string> mine = written.status();
    if (written.ok()) {
      result_.bytes_written = written->bytes;
      result_.items_written = written->items.size();
      result_.files_written = static_cast<uint32_t>(written->files.size());
      OutcomeMessage message{assignment_.save_id, *std::move(written)};
      if (agreement_.is_coordinator()) {
        own_outcome_ = std::move(message);
        mine = std::string();
      } else {
        mine = EncodeOutcomeMessage(message);
      }
    }
    bool wrote = mine.ok();
    Result<std::vector<std::string>> all = agreement_.Gather("write", std::move(mine));
    if (!all.ok()) {
      // The coordinator may have this rank's outcome, and commit.
      bool may_commit = wrote && !agreement_.is_coordinator();
      return may_commit ? LookForCommit(all.status()) : all.status();
    }
    std::string decision;
    if (agreement_.is_coordinator() && agreement_.failures().empty()) {
      Result<CommitOutcome> committed = Commit(*std::move(all));
      if (committed.ok()) {
        outcome_ = *std::move(committed);
        committed_ = true;
        decision = EncodeCommitMessage({outcome_.synced});
        result_.warnings = outcome_.warnings;
      } else {
        agreement_.AddFailure(comm_.rank(), "write", committed.status());
      }
    }
    Result<std::string> decided = agreement_.Broadcast("write", std::move(decision));
    if (committed_) {
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
    outcome_.synced = message.synced;
    return Status::Ok();
  }

  Result<CommitOutcome> Commit(std::vector<std::string> all) {
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kCommit, 0, 0));
    Metadata& metadata = global_.metadata;
    uint32_t transform_set = 0;
    if (!transforms_.empty()) {
      transform_set = static_cast<uint32_t>(metadata.transform_sets.size());
      metadata.transform_sets.push_back(DescriptorsFor(transforms_));
    }
    for (size_t rank = 0; rank < all.size(); ++rank) {
      const bool own = static_cast<int32_t>(rank) == comm_.rank();
      Result<OutcomeMessage> message =
          own ? std::move(own_outcome_) : DecodeOutcomeMessage(all[rank]);
      Status filled =
          message.ok() ? FillLocations(rank, *std::move(message), transform_set) : message.status();
      if (!filled.ok()) return filled.WithContext(fmt::format("rank {}", rank));
    }
    metadata.version = kVersion;
    StorageMeta storage_meta;
    storage_meta.checkpoint_id =
        options_.checkpoint_id.empty() ? std::string(store_.location()) : options_.checkpoint_id;
    storage_meta.save_id = assignment_.save_id;
    metadata.storage_meta = std::move(storage_meta);
    const auto encode = [&](const ByteSink& sink) {
      return EncodeMetadata(metadata, options_.dialect, sink);
    };
    DCP_RETURN_IF_ERROR(options_.cancel.Check());
    DCP_ASSIGN_OR_RETURN(CommitOutcome outcome, CommitMetadata(store_, encode, options_.durable));
    if (Status told = progress_.End(); !told.ok()) {
      outcome.warnings.push_back(
          fmt::format("after the commit the progress callback failed: {}", told.message()));
    }
    return outcome;
  }

  Status FillLocations(size_t rank, OutcomeMessage message, uint32_t transform_set) {
    Metadata& metadata = global_.metadata;
    if (message.save_id != assignment_.save_id) {
      return Error(Code::kInternal, "its outcome belongs to the save {}, this is {}",
                   PrintableName(message.save_id), assignment_.save_id);
    }
    const std::vector<GlobalSavePlan::Slot>& slots = global_.slots[rank];
    if (message.outcome.items.size() != slots.size()) {
      return Error(Code::kInternal, "it wrote {} items of {}", message.outcome.items.size(),
                   slots.size());
    }
    uint32_t first_file = static_cast<uint32_t>(metadata.files.size());
    for (std::string& file : message.outcome.files) {
      DataFile data;
      if (!ParseDataFileName(file, &data) || data.rank != static_cast<int32_t>(rank) ||
          data.generation != assignment_.generation) {
        return Error(Code::kInternal, "it wrote a file '{}', which is not its to write",
                     PrintableName(file));
      }
      metadata.files.push_back(std::move(file));
    }
    for (size_t i = 0; i < slots.size(); ++i) {
      const WrittenItem& item = message.outcome.items[i];
      Location& location = metadata.entries[slots[i].entry].locations[slots[i].chunk];
      location.file = first_file + item.file;
      location.transforms = transform_set;
      location.offset = item.offset;
      location.length = item.length;
      location.crc32 = item.crc32;
      location.has_crc32 = true;
    }
    return Status::Ok();
  }

  // This rank gave its outcome and never heard the decision. kOutcomeUnknown unless the metadata
  // is this save's.
  Status LookForCommit(const Status& error) {
    Result<CommittedMetadata> now = ReadCommittedMetadata(store_);
    if (now.ok() && now->metadata.storage_meta &&
        now->metadata.storage_meta->save_id == assignment_.save_id) {
      outcome_.synced = false;  // who knows: keep the older files
      result_.warnings.push_back(fmt::format(
          "the save is committed, though the coordinator could not be heard: {}", error.message()));
      return Status::Ok();
    }
    return Error(Code::kOutcomeUnknown,
                 "rank {} wrote its data and never heard whether save {} to {} was committed: {}. "
                 "Open the checkpoint and compare its save_id",
                 comm_.rank(), assignment_.save_id, store_.location(), error.message())
        .WithForeign(error.foreign())
        .WithRankFailures(error.rank_failures());
  }

  // ---- after ----

  Status CleanUp(const Status& error) {
    if (error.code() == Code::kOutcomeUnknown) return error;
    std::vector<std::string> left = RemoveFiles(store_, written_files_);
    written_files_.clear();
    if (left.empty()) return error;
    for (const std::string& warning : left) engine_.Log(LogLevel::kWarning, warning);
    return error.WithDetail(
        "left_behind",
        fmt::format("{} (the next save to this folder removes them)", fmt::join(left, "; ")));
  }

  void RemoveOlder() {
    if (options_.durable && !outcome_.synced) return;
    std::set<std::string> keep(written_files_.begin(), written_files_.end());
    if (agreement_.is_coordinator()) {
      keep.insert(global_.metadata.files.begin(), global_.metadata.files.end());
    }
    for (std::string& warning :
         RemoveStale(store_, keep, comm_.rank(), comm_.world_size(), agreement_.is_coordinator())) {
      result_.warnings.push_back(std::move(warning));
    }
  }

  Communicator& comm_;
  Leaves find_leaves_;
  bool with_paths_;
  const SaveOptions& options_;
  const Engine& engine_;
  Agreement agreement_;
  const std::unique_ptr<Store> leased_;  // several ranks only
  Store& store_;
  Pulse pulse_;
  mutable Progress progress_;

  Transforms transforms_;
  std::vector<FlatLeaf> leaves_;
  std::vector<Source> sources_;
  PlanMessage own_plan_;  // coordinator only
  MergedPlan global_;     // coordinator only
  Assignment assignment_;
  OutcomeMessage own_outcome_;  // coordinator only
  std::vector<std::string> written_files_;
  CommitOutcome outcome_;
  bool committed_ = false;
  SaveResult result_;
};

}  // namespace

Result<SaveResult> Save(Store& store, Communicator& comm, const Value& state,
                        const SaveOptions& options, const Engine& engine) {
  const ValuePtr borrowed(ValuePtr(), &state);
  return Save(store, comm, borrowed, options, engine);
}

Result<SaveResult> Save(Store& store, Communicator& comm, ValuePtr state,
                        const SaveOptions& options, const Engine& engine) {
  auto leaves = [&] {
    auto found = LeavesOf(*state, options.flatten, FlattenRule::kDefault);
    state.reset();
    return found;
  };
  return SaveRun(store, comm, leaves, options.flatten, options, engine).Run();
}

Result<SaveResult> SaveLeaves(Store& store, Communicator& comm, std::vector<FlatLeaf> leaves,
                              bool with_paths, const SaveOptions& options, const Engine& engine) {
  auto given = [&]() -> Result<std::vector<FlatLeaf>> { return std::move(leaves); };
  return SaveRun(store, comm, given, with_paths, options, engine).Run();
}

}  // namespace dcp
