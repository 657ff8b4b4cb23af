#include "checkpoint/load.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "base/thread_pool.h"
#include "checkpoint/agreement.h"
#include "checkpoint/leaves.h"
#include "checkpoint/pulse.h"
#include "reader/metadata_files.h"
#include "reader/reader.h"
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
  LoadRun(const Store& store, Communicator& comm, const Value& state, const LoadOptions& options,
          const Engine& engine)
      : store_(store),
        comm_(comm),
        state_(state),
        options_(options),
        engine_(engine),
        agreement_(comm, options.coordinator, options.timeout_ms, "load"),
        pulse_(&agreement_, engine.progress.get()),
        progress_(comm.world_size() == 1 ? engine.progress.get() : &pulse_, options.cancel) {}

  Result<LoadResult> Run() {
    if (options_.coordinator < 0 || options_.coordinator >= comm_.world_size()) {
      return Error(Code::kInvalidArgument, "coordinator {} is not a rank of the {} there are",
                   options_.coordinator, comm_.world_size());
    }
    DCP_RETURN_IF_ERROR(Agree("plan", Plan()));
    Status read = Read();
    if (!read.ok()) read = ExplainReadError(store_, committed_.fingerprint, read);
    DCP_RETURN_IF_ERROR(Agree("read", read));
    return std::move(result_);
  }

 private:
  Status Agree(std::string_view step, const Status& mine) {
    Result<std::string> message = mine.ok() ? Result<std::string>(std::string()) : mine;
    DCP_RETURN_IF_ERROR(agreement_.Gather(step, std::move(message)).status());
    return agreement_.Broadcast(step, "").status();
  }

  Status Plan() {
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kPlan, 0, 0));
    DCP_ASSIGN_OR_RETURN(committed_, ReadCommittedMetadata(store_));
    DCP_ASSIGN_OR_RETURN(leaves_, LeavesOf(state_, options_.flatten, FlattenRule::kDefault));
    if (options_.flatten) DCP_RETURN_IF_ERROR(TryOlderRule());
    std::vector<LoadTarget> targets = MakeTargets();
    for (const Target& target : targets_) {
      if (target.tensor == nullptr || !target.tensor->read_only) continue;
      return Error(Code::kInvalidArgument, "{} is read-only memory and cannot be loaded into",
                   PrintableName(leaves_[target.leaf].name));
    }
    LoadPlanOptions plan_options;
    plan_options.allow_partial = options_.allow_partial;
    plan_options.allow_cast = options_.allow_cast;
    DCP_ASSIGN_OR_RETURN(PlannedLoad planned,
                         CreateLoadPlan(committed_.metadata, targets, plan_options));
    plan_ = std::move(planned.plan);
    committed_.metadata.planner_data.reset();  // nothing here asks for it
    result_.report = std::move(planned.report);
    FixReport();
    return progress_.End();
  }

  // Upstream's rule for files of 2.3 and older: when the checkpoint holds names that are not asked
  // for, and flattening as 2.3 did asks for one of them, that rule is the file's.
  Status TryOlderRule() {
    const Metadata& metadata = committed_.metadata;
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
                         LeavesOf(state_, true, FlattenRule::kTorch23));
    bool matches = std::any_of(older.begin(), older.end(), [&](const FlatLeaf& leaf) {
      const std::optional<size_t> id = metadata.Find(leaf.name);
      return id && !asked[*id];
    });
    if (matches) leaves_ = std::move(older);
    return Status::Ok();
  }

  std::vector<LoadTarget> MakeTargets() {
    std::vector<LoadTarget> targets;
    targets.reserve(leaves_.size());
    targets_.reserve(leaves_.size());
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
        targets_.push_back({i, &tensor});
        targets.push_back(std::move(target));
      } else if (leaf.value->kind == ValueKind::kShardedTensor) {
        const ShardedTensor& sharded = *leaf.value->sharded;
        target.kind = EntryKind::kTensor;
        target.global_size = sharded.global_shape;
        for (const ShardedTensor::Shard& shard : sharded.shards) {
          target.dtype = shard.tensor.dtype;
          target.offsets = shard.offsets;
          target.sizes = shard.tensor.shape;
          targets_.push_back({i, &shard.tensor});
          targets.push_back(target);
        }
      } else {
        targets_.push_back({i, nullptr});
        targets.push_back(std::move(target));
      }
    }
    return targets;
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
    ItemReader reader(&store_, &committed_.metadata);
    ReaderOptions options;
    options.threads = engine_.threads;
    options.verify = options_.verify;
    options.pool = engine_.PoolOrNew();
    options.transforms = engine_.transforms.get();
    options.copier = engine_.copier.get();
    options.progress = &progress_;
    options.cancel = options_.cancel;

    std::vector<TensorRead> tensors;
    tensors.reserve(plan_.items.size());
    std::vector<const ReadItem*> objects;
    tensors.reserve(plan_.items.size());
    uint64_t bytes = 0;
    for (const ReadItem& item : plan_.items) {
      if (item.kind == EntryKind::kBytes) {
        objects.push_back(&item);
        continue;
      }
      TensorRead read;
      read.entry = &committed_.metadata.entries[item.entry];
      read.chunk = item.chunk;
      read.storage_offsets = plan_.storage_offsets(item);
      read.lengths = plan_.lengths(item);
      read.dest = targets_[item.target].tensor->Slice(plan_.dest_offsets(item), read.lengths);
      bytes += static_cast<uint64_t>(read.dest.num_bytes());
      tensors.push_back(std::move(read));
    }
    DCP_RETURN_IF_ERROR(
        progress_.Begin(ProgressPhase::kRead, bytes, tensors.size() + objects.size()));
    DCP_ASSIGN_OR_RETURN(ReadOutcome outcome, reader.ReadTensors(tensors, options));
    result_.bytes_read = outcome.bytes_read;
    result_.report.unverified_bytes = outcome.bytes_unverified;
    DCP_RETURN_IF_ERROR(ReadObjects(reader, options, objects));
    return progress_.End();
  }

  Status ReadObjects(ItemReader& reader, const ReaderOptions& options,
                     const std::vector<const ReadItem*>& items) {
    std::vector<ValuePtr> values(items.size());
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    size_t workers = std::min(WorkerCount(engine_.threads), std::max<size_t>(items.size(), 1));
    DCP_RETURN_IF_ERROR(RunParallel(workers, [&](size_t) {
      for (size_t at; !stop.load() && (at = next.fetch_add(1)) < items.size();) {
        const Entry& entry = committed_.metadata.entries[items[at]->entry];
        Result<ValuePtr> value = reader.ReadObject(entry, options);
        if (!value.ok()) {
          stop = true;
          return value.status();
        }
        values[at] = *std::move(value);
      }
      return Status::Ok();
    }));
    for (size_t i = 0; i < items.size(); ++i) {
      const Entry& entry = committed_.metadata.entries[items[i]->entry];
      for (const Location& location : entry.locations) {
        if (!location.missing()) result_.bytes_read += location.length;
      }
      FlatLeaf leaf = leaves_[targets_[items[i]->target].leaf];
      result_.objects.emplace_back(std::move(leaf), std::move(values[i]));
    }
    return Status::Ok();
  }

  const Store& store_;
  Communicator& comm_;
  const Value& state_;
  const LoadOptions& options_;
  const Engine& engine_;
  Agreement agreement_;
  Pulse pulse_;
  Progress progress_;

  CommittedMetadata committed_;
  std::vector<FlatLeaf> leaves_;
  std::vector<Target> targets_;
  LoadPlan plan_;
  LoadResult result_;
};

}  // namespace

Result<LoadResult> Load(const Store& store, Communicator& comm, const Value& state,
                        const LoadOptions& options, const Engine& engine) {
  return LoadRun(store, comm, state, options, engine).Run();
}

}  // namespace dcp
