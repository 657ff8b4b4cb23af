#include "checkpoint/load.h"

#include <algorithm>
#include <unordered_set>

#include "checkpoint/agreement.h"
#include "checkpoint/file_reader.h"
#include "checkpoint/host_share.h"
#include "checkpoint/leaves.h"
#include "checkpoint/load_wire.h"
#include "checkpoint/pulse.h"
#include "value/names.h"

namespace dcp {
namespace {

// What a load target is in the caller's state.
struct Target {
  uint32_t leaf;
  const Tensor* tensor;  // null for an object
};

class LoadRun {
 public:
  LoadRun(StorageReader& reader, Communicator& comm, const ValuePtr& state,
          const LoadOptions& options, const Engine& engine)
      : reader_(reader),
        comm_(comm),
        state_(state),
        options_(options),
        planner_(options.planner.get()),
        agreement_(comm, options.coordinator, options.timeout_ms, "load"),
        pulse_(&agreement_, engine.progress.get()),
        progress_(comm.world_size() == 1 ? engine.progress.get() : &pulse_, options.cancel) {}

  Result<LoadResult> Run() {
    if (options_.coordinator < 0 || options_.coordinator >= comm_.world_size()) {
      return Error(Code::kInvalidArgument, "coordinator {} is not a rank of the {} there are",
                   options_.coordinator, comm_.world_size());
    }
    if (plans_globally()) {
      DCP_RETURN_IF_ERROR(PlanTogether());
    } else {
      DCP_RETURN_IF_ERROR(PlanAlone());
    }
    DCP_RETURN_IF_ERROR(Agree("read", Read()));
    return std::move(result_);
  }

 private:
  // All ranks use planners and readers of one kind, so all know.
  bool plans_globally() const {
    return reader_.plans_globally() || (planner_ != nullptr && planner_->plans_globally());
  }

  Status Agree(std::string_view step, const Status& mine) {
    Result<std::string> message = mine.ok() ? Result<std::string>(std::string()) : mine;
    DCP_RETURN_IF_ERROR(agreement_.Gather(step, std::move(message)).status());
    return agreement_.Broadcast(step, "").status();
  }

  // Each rank for itself.
  Status PlanAlone() {
    const Status planned = PlanLocally();
    Result<std::string> mine = planned.ok() ? Result<std::string>(OfferToShare()) : planned;
    DCP_ASSIGN_OR_RETURN(const std::vector<std::string> offers,
                         agreement_.Gather("plan", std::move(mine)));
    std::string chosen;
    if (agreement_.is_coordinator()) chosen = HostShare::Choose(offers);
    DCP_ASSIGN_OR_RETURN(chosen, agreement_.Broadcast("plan", std::move(chosen)));
    shared_ = host_share_.Join(chosen);
    return Status::Ok();
  }

  std::string OfferToShare() {
    const bool offers =
        comm_.world_size() > 1 && reader_.shares_reads() && ReadsMuchForOthers(plan_, metadata_);
    return offers ? host_share_.Offer() : std::string();
  }

  Status PlanTogether() {
    const Status planned = PlanLocally();
    Result<std::string> mine = planned.ok() ? Result<std::string>(EncodeLoadPlan(plan_)) : planned;
    DCP_ASSIGN_OR_RETURN(std::vector<std::string> all, agreement_.Gather("plan", std::move(mine)));
    std::vector<std::string> parts;
    if (agreement_.is_coordinator() && agreement_.failures().empty()) {
      Result<std::vector<std::string>> dealt = Deal(all);
      if (dealt.ok()) {
        parts = *std::move(dealt);
      } else {
        agreement_.AddFailure(comm_.rank(), "plan", dealt.status());
      }
    }
    DCP_ASSIGN_OR_RETURN(final_plan_, agreement_.Scatter("plan", std::move(parts)));
    return Status::Ok();
  }

  Result<std::vector<std::string>> Deal(const std::vector<std::string>& all) {
    std::vector<LoadPlan> plans;
    for (size_t rank = 0; rank < all.size(); ++rank) {
      Result<LoadPlan> plan = DecodeLoadPlan(all[rank]);
      Status sound = plan.ok() ? CheckEntries(*plan) : plan.status();
      if (!sound.ok()) return sound.WithContext(fmt::format("rank {}", rank));
      plans.push_back(*std::move(plan));
    }
    if (planner_ != nullptr && planner_->plans_globally()) {
      DCP_RETURN_IF_ERROR(planner_->CreateGlobalPlan(&plans));
    }
    if (reader_.plans_globally()) DCP_RETURN_IF_ERROR(reader_.PrepareGlobalPlan(&plans));
    if (plans.size() != all.size()) {
      return Error(Code::kInvalidArgument, "the global load plan is for {} ranks of {}",
                   plans.size(), all.size());
    }
    std::vector<std::string> parts;
    for (const LoadPlan& plan : plans) parts.push_back(EncodeLoadPlan(plan));
    return parts;
  }

  // Of another rank's plan: its targets are not known here.
  Status CheckEntries(LoadPlan plan) const {
    for (ReadItem& item : plan.items) item.target = ReadItem::kNoTarget;
    return CheckLoadPlan(plan, metadata_, targets_);
  }

  Status PlanLocally() {
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kPlan, 0, 0));
    DCP_ASSIGN_OR_RETURN(metadata_, reader_.ReadMetadata());
    DCP_ASSIGN_OR_RETURN(leaves_, LeavesOf(*state_, options_.flatten, FlattenRule::kDefault));
    if (options_.flatten) DCP_RETURN_IF_ERROR(TryOlderRule());
    MakeTargets();
    if (planner_ != nullptr) {
      DCP_RETURN_IF_ERROR(
          planner_->SetUp(state_, metadata_, targets_, agreement_.is_coordinator()));
    }
    DCP_RETURN_IF_ERROR(reader_.SetUp(metadata_, Site()));
    const auto standard = [this] { return StandardPlan(); };
    if (planner_ != nullptr) {
      DCP_RETURN_IF_ERROR(planner_->CreateLocalPlan(standard, &plan_));
    } else {
      DCP_ASSIGN_OR_RETURN(plan_, standard());
    }
    DCP_RETURN_IF_ERROR(reader_.PrepareLocalPlan(&plan_));
    if (planner_ == nullptr) {
      targets_ = {};
      metadata_.planner_data.reset();  // nothing here asks for it
    }
    return progress_.End();
  }

  Result<LoadPlan> StandardPlan() {
    for (const Target& target : places_) {
      if (target.tensor == nullptr || !target.tensor->read_only) continue;
      return Error(Code::kInvalidArgument, "{} is read-only memory and cannot be loaded into",
                   PrintableName(leaves_[target.leaf].name));
    }
    LoadPlanOptions plan_options;
    plan_options.allow_partial = options_.allow_partial;
    plan_options.allow_cast = options_.allow_cast;
    DCP_ASSIGN_OR_RETURN(PlannedLoad planned, CreateLoadPlan(metadata_, targets_, plan_options));
    result_.report = std::move(planned.report);
    FixReport();
    return std::move(planned.plan);
  }

  LoadSite Site() {
    LoadSite site;
    site.rank = comm_.rank();
    site.world_size = comm_.world_size();
    site.is_coordinator = agreement_.is_coordinator();
    site.timeout_ms = options_.timeout_ms;
    site.progress = &progress_;
    site.cancel = options_.cancel;
    return site;
  }

  // Upstream's rule for files of 2.3 and older: when the checkpoint holds names that are not asked
  // for, and flattening as 2.3 did asks for one of them, that rule is the file's.
  Status TryOlderRule() {
    const Metadata& metadata = metadata_;
    std::vector<bool> asked(metadata.entries.size(), false);
    size_t left = asked.size();
    for (const FlatLeaf& leaf : leaves_) {
      const std::optional<size_t> id = metadata.Find(leaf.name);
      if (!id || asked[*id]) continue;
      asked[*id] = true;
      --left;
    }
    if (left == 0) return Status::Ok();
    DCP_ASSIGN_OR_RETURN(std::vector<FlatLeaf> older,
                         LeavesOf(*state_, true, FlattenRule::kTorch23));
    bool matches = std::any_of(older.begin(), older.end(), [&](const FlatLeaf& leaf) {
      const std::optional<size_t> id = metadata.Find(leaf.name);
      return id && !asked[*id];
    });
    if (matches) leaves_ = std::move(older);
    return Status::Ok();
  }

  void MakeTargets() {
    targets_.reserve(leaves_.size());
    places_.reserve(leaves_.size());
    for (uint32_t i = 0; i < leaves_.size(); ++i) {
      const FlatLeaf& leaf = leaves_[i];
      LoadTarget target;
      target.name = leaf.name;
      if (leaf.value->kind == ValueKind::kTensor) {
        const Tensor& tensor = leaf.value->tensor;
        target.kind = EntryKind::kTensor;
        target.dtype = tensor.dtype;
        target.global_size = tensor.shape;
        target.offsets.resize(tensor.shape.size());
        target.sizes = tensor.shape;
        places_.push_back({i, &tensor});
        targets_.push_back(std::move(target));
      } else if (leaf.value->kind == ValueKind::kShardedTensor) {
        const ShardedTensor& sharded = *leaf.value->sharded;
        target.kind = EntryKind::kTensor;
        target.global_size = sharded.global_shape;
        for (const ShardedTensor::Shard& shard : sharded.shards) {
          target.dtype = shard.tensor.dtype;
          target.offsets = shard.offsets;
          target.sizes = shard.tensor.shape;
          places_.push_back({i, &shard.tensor});
          targets_.push_back(target);
        }
      } else {
        places_.push_back({i, nullptr});
        targets_.push_back(std::move(target));
      }
    }
  }

  // A sharded tensor of which this rank holds nothing was asked for all the same.
  void FixReport() {
    if (result_.report.unexpected.empty()) return;
    std::unordered_set<std::string_view> names;
    for (const FlatLeaf& leaf : leaves_) names.insert(leaf.name);
    std::erase_if(result_.report.unexpected,
                  [&](const std::string& name) { return names.contains(name); });
  }

  Status Read() {
    if (plans_globally()) {
      DCP_ASSIGN_OR_RETURN(plan_, DecodeLoadPlan(final_plan_));
    }
    if (planner_ != nullptr) DCP_RETURN_IF_ERROR(planner_->FinishPlan(&plan_));
    if (planner_ != nullptr || plans_globally()) {
      if (planner_ == nullptr) MakeTargetsAgain();
      DCP_RETURN_IF_ERROR(CheckLoadPlan(plan_, metadata_, targets_));
    }
    ReadRequest request;
    request.metadata = shared_metadata_;
    request.plan = &plan_;
    request.shared = shared_.get();
    request.late = planner_ != nullptr && planner_->resolves_tensors();
    request.tensor = [this](size_t item) { return TensorFor(item); };
    request.commit = [this](size_t item, const Tensor& tensor) {
      return planner_->CommitTensor(plan_, item, tensor);
    };
    request.object = [this](size_t item, ValuePtr value) { return Take(item, std::move(value)); };
    uint64_t bytes = 0;
    for (const ReadItem& item : plan_.items) {
      int64_t size = 0;
      if (item.kind == EntryKind::kBytes) continue;
      DCP_ASSIGN_OR_RETURN(size, NumElements(plan_.lengths(item)));
      const DType dtype = item.target == ReadItem::kNoTarget
                              ? metadata_.entries[item.entry].properties.dtype
                              : places_[item.target].tensor->dtype;
      bytes += static_cast<uint64_t>(size) * static_cast<uint64_t>(DTypeSize(dtype));
    }
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kRead, bytes, plan_.items.size()));
    DCP_ASSIGN_OR_RETURN(const ReadOutcome outcome, reader_.ReadData(request));
    result_.bytes_read = outcome.bytes_read;
    result_.report.unverified_bytes = outcome.bytes_unverified;
    return progress_.End();
  }

  // They were let go before other ranks' plans were waited for.
  void MakeTargetsAgain() {
    places_.clear();
    MakeTargets();
  }

  Result<Tensor> TensorFor(size_t number) {
    const ReadItem& item = plan_.items[number];
    Tensor found;
    if (item.target != ReadItem::kNoTarget) {
      found = places_[item.target].tensor->Slice(plan_.dest_offsets(item), plan_.lengths(item));
    }
    if (planner_ == nullptr || !planner_->resolves_tensors()) {
      if (item.target != ReadItem::kNoTarget) return found;
      return Error(Code::kInvalidArgument,
                   "the plan reads {}, for which the state dict has no place: the planner that "
                   "added it is to give one (resolve_tensor)",
                   PrintableName(metadata_.entries[item.entry].name));
    }
    DCP_ASSIGN_OR_RETURN(Tensor tensor, planner_->ResolveTensor(plan_, number, found));
    const std::string name = PrintableName(metadata_.entries[item.entry].name);
    const Dims lengths = plan_.lengths(item);
    if (!std::equal(lengths.begin(), lengths.end(), tensor.shape.begin(), tensor.shape.end())) {
      return Error(Code::kMismatch, "the planner gave a tensor of {} for {} of {}",
                   ToString(tensor.shape), ToString(lengths), name);
    }
    if (!tensor.read_only) return tensor;
    return Error(Code::kInvalidArgument, "the planner gave read-only memory for {}", name);
  }

  Status Take(size_t number, ValuePtr value) {
    const ReadItem& item = plan_.items[number];
    if (planner_ != nullptr) {
      DCP_ASSIGN_OR_RETURN(const bool taken, planner_->LoadBytes(plan_, number, value));
      if (taken) return Status::Ok();
    }
    FlatLeaf leaf;
    if (item.target != ReadItem::kNoTarget) {
      leaf = leaves_[places_[item.target].leaf];
    } else {
      leaf.name = metadata_.entries[item.entry].name;
      leaf.path = {leaf.name};
    }
    result_.objects.emplace_back(std::move(leaf), std::move(value));
    return Status::Ok();
  }

  StorageReader& reader_;
  Communicator& comm_;
  const ValuePtr state_;
  const LoadOptions& options_;
  LoadPlanner* const planner_;  // may be null
  Agreement agreement_;
  Pulse pulse_;
  Progress progress_;

  const std::shared_ptr<Metadata> shared_metadata_ = std::make_shared<Metadata>();
  Metadata& metadata_ = *shared_metadata_;
  std::vector<FlatLeaf> leaves_;
  std::vector<LoadTarget> targets_;
  std::vector<Target> places_;  // of the targets
  LoadPlan plan_;
  HostShare host_share_;
  std::unique_ptr<SharedPieces> shared_;
  std::string final_plan_;  // encoded, where plans are made globally
  LoadResult result_;
};

}  // namespace

Result<LoadResult> Load(const Store& store, Communicator& comm, const Value& state,
                        const LoadOptions& options, const Engine& engine) {
  const std::unique_ptr<StorageReader> reader = NewFileReader(store, options, engine);
  const ValuePtr borrowed(ValuePtr(), &state);
  return Load(*reader, comm, borrowed, options, engine);
}

Result<LoadResult> Load(StorageReader& reader, Communicator& comm, const ValuePtr& state,
                        const LoadOptions& options, const Engine& engine) {
  return LoadRun(reader, comm, state, options, engine).Run();
}

}  // namespace dcp
