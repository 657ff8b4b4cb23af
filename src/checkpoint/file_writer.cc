#include "checkpoint/file_writer.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "checkpoint/commit.h"
#include "checkpoint/leased_store.h"
#include "checkpoint/plan_cache.h"
#include "checkpoint/wire.h"
#include "comm/wire_codec.h"
#include "reader/metadata_files.h"
#include "value/names.h"

namespace dcp {
namespace {

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

// A generation is all that this writer says of a plan.
std::string EncodeGeneration(uint64_t generation) {
  WireWriter out;
  out.Number(generation);
  return out.Take();
}

Result<uint64_t> DecodeGeneration(std::string_view bytes) {
  WireReader in(bytes);
  const uint64_t generation = in.Number();
  if (in.complete()) return generation;
  return Status(Code::kCorrupt,
                "the generation of another rank's data files cannot be read: do all ranks use the "
                "library's own storage writer?");
}

class FileWriter final : public StorageWriter {
 public:
  FileWriter(Store& store, const SaveOptions& options, const Engine& engine)
      : plain_store_(store), store_(&store), options_(options), engine_(engine) {}

  std::string_view location() const override { return plain_store_.location(); }

  std::string checkpoint_id() const override {
    return options_.checkpoint_id.empty() ? std::string(location()) : options_.checkpoint_id;
  }

  bool keeps_plans() const override { return true; }

  std::string Steering() const override {
    WireWriter out;
    out.Number(static_cast<uint64_t>(options_.dialect));
    for (const std::string& descriptor : Descriptors()) out.Text(descriptor);
    return out.Take();
  }

  Status SetUp(const SaveSite& site) override {
    site_ = site;
    if (site.world_size > 1) {
      leased_ = NewLeasedStore(&plain_store_, site.lease);
      store_ = leased_.get();
    }
    DCP_ASSIGN_OR_RETURN(transforms_, FindTransforms(*engine_.transforms, options_.transforms));
    return Status::Ok();
  }

  Status PrepareLocalPlan(SavePlan* plan) override {
    DCP_ASSIGN_OR_RETURN(FolderState folder, InspectFolder(*store_));
    DCP_RETURN_IF_ERROR(CheckOverwrite(*store_, folder, options_.overwrite));
    plan->storage_data = EncodeGeneration(folder.next_generation);
    return store_->MakeRoot();
  }

  Status PrepareGlobalPlan(std::vector<SavePlan>* plans) override {
    uint64_t generation = 0;
    for (size_t rank = 0; rank < plans->size(); ++rank) {
      Result<uint64_t> wanted = DecodeGeneration((*plans)[rank].storage_data);
      if (!wanted.ok()) return wanted.status().WithContext(fmt::format("rank {}", rank));
      generation = std::max(generation, *wanted);
    }
    for (SavePlan& plan : *plans) plan.storage_data = EncodeGeneration(generation);
    return Status::Ok();
  }

  Result<Written> WriteData(const WriteRequest& request) override {
    DCP_ASSIGN_OR_RETURN(generation_, DecodeGeneration(request.storage_data));
    DCP_ASSIGN_OR_RETURN(WriteOutcome outcome,
                         WriteItems(*store_, request.jobs, MakeWriterOptions(request)));
    written_files_ = outcome.files;
    if (outcome.items.size() != request.jobs.size()) {
      return Error(Code::kInternal, "{} items written of {}", outcome.items.size(),
                   request.jobs.size());
    }
    // Whoever commits syncs the folder first; other hosts may have their own view of it.
    if (options_.durable && site_.use_collectives && !site_.is_coordinator) {
      DCP_RETURN_IF_ERROR(store_->SyncFolder());
    }
    Written written;
    written.bytes = outcome.bytes;
    written.items = outcome.items.size();
    written.files = static_cast<uint32_t>(outcome.files.size());
    const OutcomeMessage message{std::string(request.save_id), std::move(outcome)};
    if (options_.plan_cache != nullptr) {
      DCP_ASSIGN_OR_RETURN(written.results, options_.plan_cache->rank().TellOutcome(message));
    } else {
      written.results = EncodeOutcomeMessage(message);
    }
    return written;
  }

  Result<bool> Finish(Commit commit, std::vector<std::string>* warnings) override {
    if (options_.plan_cache != nullptr) {
      DCP_RETURN_IF_ERROR(MakeImage(commit));
    } else {
      DCP_RETURN_IF_ERROR(MakeMetadata(&commit));
    }
    names_ = CommitNamesFor(
        site_.use_collectives ? std::string(kMetadataFile) : RankMetadataName(site_.rank),
        commit.save_id);
    DCP_RETURN_IF_ERROR(site_.cancel.Check());
    DCP_RETURN_IF_ERROR(WriteTemporary(*store_, names_, encode_, options_.durable));
    return site_.use_collectives ? Rename(warnings) : true;
  }

  Result<bool> Publish(std::vector<std::string>* warnings) override {
    return site_.use_collectives ? true : Rename(warnings);
  }

  // What was committed with collectives stood until now: readers prefer it.
  Status Conclude() override {
    Status removed = store_->Remove(kMetadataFile);
    if (removed.code() == Code::kNotFound) return Status::Ok();
    DCP_RETURN_IF_ERROR(removed.WithContext("removing the older checkpoint's metadata"));
    return options_.durable ? store_->SyncFolder() : Status::Ok();
  }

  void Settle(bool durable, std::vector<std::string>* warnings) override {
    if (options_.durable && !durable) return;
    std::set<std::string> keep(written_files_.begin(), written_files_.end());
    keep.insert(metadata_.files.begin(), metadata_.files.end());
    if (!site_.use_collectives || site_.is_coordinator) keep.insert(names_.metadata);
    for (std::string& warning :
         RemoveStale(*store_, keep, site_.rank, site_.world_size, site_.is_coordinator)) {
      warnings->push_back(std::move(warning));
    }
  }

  Status Abandon(const Status& error) override {
    if (error.code() == Code::kOutcomeUnknown) return error;
    std::vector<std::string> files = std::exchange(written_files_, {});
    if (!site_.use_collectives && !names_.temporary.empty()) files.push_back(names_.temporary);
    std::vector<std::string> left = RemoveFiles(*store_, files);
    if (left.empty()) return error;
    for (const std::string& warning : left) engine_.Log(LogLevel::kWarning, warning);
    return error.WithDetail(
        "left_behind",
        fmt::format("{} (the next save to this folder removes them)", fmt::join(left, "; ")));
  }

  std::optional<bool> Committed(std::string_view save_id) override {
    if (!site_.use_collectives) return std::nullopt;  // of this rank alone it would say nothing
    Result<CommittedMetadata> now = ReadCommittedMetadata(*store_);
    if (!now.ok() || !now->metadata.storage_meta) return std::nullopt;
    if (now->metadata.storage_meta->save_id == save_id) return true;
    return std::nullopt;  // the coordinator may be about to
  }

 private:
  Result<bool> Rename(std::vector<std::string>* warnings) {
    DCP_ASSIGN_OR_RETURN(CommitOutcome outcome,
                         RenameIntoPlace(*store_, names_, encode_, options_.durable));
    for (std::string& warning : outcome.warnings) warnings->push_back(std::move(warning));
    return outcome.synced;
  }

  WriterOptions MakeWriterOptions(const WriteRequest& request) const {
    WriterOptions writer;
    writer.files = options_.files;
    writer.file_per_item = options_.file_per_item;
    writer.durable = options_.durable;
    writer.direct = options_.direct;
    writer.block_checksums = options_.block_checksums;
    writer.transforms = transforms_;
    writer.pool = engine_.PoolOrNew();
    writer.copier = engine_.copier.get();
    writer.progress = site_.progress;
    writer.cancel = site_.cancel;
    writer.file_name = [rank = site_.rank, generation = generation_](size_t n) {
      return DataFileName(rank, n, generation);
    };
    writer.resolve = request.resolve;
    return writer;
  }

  Status MakeMetadata(Commit* commit) {
    metadata_ = std::move(*commit->metadata);
    uint32_t transform_set = 0;
    if (!transforms_.empty()) {
      transform_set = static_cast<uint32_t>(metadata_.transform_sets.size());
      metadata_.transform_sets.push_back(DescriptorsFor(transforms_));
    }
    for (size_t i = 0; i < commit->results.size(); ++i) {
      const int32_t rank = site_.use_collectives ? static_cast<int32_t>(i) : site_.rank;
      Result<OutcomeMessage> message = DecodeOutcomeMessage(commit->results[i]);
      commit->results[i] = std::string();
      Status filled = message.ok() ? FillLocations(rank, (*commit->slots)[i], commit->save_id,
                                                   *std::move(message), transform_set)
                                   : message.status();
      if (!filled.ok()) return filled.WithContext(fmt::format("rank {}", rank));
    }
    return Status::Ok();
  }

  // Through the plan cache.
  Status MakeImage(const Commit& commit) {
    CoordinatorPlanCache& cache = options_.plan_cache->coordinator();
    for (size_t rank = 0; rank < commit.results.size(); ++rank) {
      const Status heard = cache.HearOutcome(static_cast<uint32_t>(rank), commit.results[rank],
                                             commit.save_id, generation_);
      if (!heard.ok()) return heard.WithContext(fmt::format("rank {}", rank));
    }
    CoordinatorPlanCache::Commit image;
    image.checkpoint_id = checkpoint_id();
    image.save_id = commit.save_id;
    image.generation = generation_;
    image.transforms = Descriptors();
    image.version = commit.metadata->version.value_or("");
    image.dialect = options_.dialect;
    image.workers = WorkerCount(engine_.threads);
    DCP_ASSIGN_OR_RETURN(image_, cache.Finish(image));
    return Status::Ok();
  }

  std::vector<std::string> Descriptors() const {
    return transforms_.empty() ? std::vector<std::string>() : DescriptorsFor(transforms_);
  }

  Status FillLocations(int32_t rank, const std::vector<GlobalSavePlan::Slot>& slots,
                       std::string_view save_id, OutcomeMessage message, uint32_t transform_set) {
    if (message.save_id != save_id) {
      return Error(Code::kInternal, "its outcome belongs to the save {}, this is {}",
                   PrintableName(message.save_id), save_id);
    }
    if (message.outcome.items.size() != slots.size()) {
      return Error(Code::kInternal, "it wrote {} items of {}", message.outcome.items.size(),
                   slots.size());
    }
    uint32_t first_file = static_cast<uint32_t>(metadata_.files.size());
    for (std::string& file : message.outcome.files) {
      DataFile data;
      if (!ParseDataFileName(file, &data) || data.rank != rank || data.generation != generation_) {
        return Error(Code::kInternal, "it wrote a file '{}', which is not its to write",
                     PrintableName(file));
      }
      metadata_.files.push_back(std::move(file));
    }
    for (size_t i = 0; i < slots.size(); ++i) {
      const WrittenItem& item = message.outcome.items[i];
      Location& location = metadata_.entries[slots[i].entry].locations[slots[i].chunk];
      location.file = first_file + item.file;
      location.transforms = transform_set;
      location.offset = item.offset;
      location.length = item.length;
      location.crc32 = item.crc32;
      location.has_crc32 = true;
    }
    return Status::Ok();
  }

  Store& plain_store_;
  std::unique_ptr<Store> leased_;  // several ranks only
  Store* store_;
  const SaveOptions& options_;
  const Engine& engine_;
  SaveSite site_;
  Transforms transforms_;
  uint64_t generation_ = 0;
  std::vector<std::string> written_files_;
  CommitNames names_;
  Metadata metadata_;                     // where this rank commits
  const MetadataImage* image_ = nullptr;  // instead, with a plan cache: the cache's
  const ByteProducer encode_ = [this](const ByteSink& sink) {
    return image_ != nullptr ? image_->Give(sink)
                             : EncodeMetadata(metadata_, options_.dialect, sink);
  };
};

}  // namespace

std::unique_ptr<StorageWriter> NewFileWriter(Store& store, const SaveOptions& options,
                                             const Engine& engine) {
  return std::make_unique<FileWriter>(store, options, engine);
}

}  // namespace dcp
