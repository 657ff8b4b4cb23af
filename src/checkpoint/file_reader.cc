#include "checkpoint/file_reader.h"

#include <algorithm>
#include <atomic>

#include "base/thread_pool.h"
#include "reader/metadata_files.h"

namespace dcp {
namespace {

class FileReader final : public StorageReader {
 public:
  FileReader(const Store& store, const LoadOptions& options, const Engine& engine)
      : store_(store), options_(options), engine_(engine) {}

  Result<Metadata> ReadMetadata() override {
    DCP_ASSIGN_OR_RETURN(CommittedMetadata committed, ReadCommittedMetadata(store_));
    fingerprint_ = std::move(committed.fingerprint);
    return std::move(committed.metadata);
  }

  Status SetUp(const Metadata&, const LoadSite& site) override {
    site_ = site;
    return Status::Ok();
  }

  Status PrepareLocalPlan(LoadPlan*) override { return Status::Ok(); }

  bool shares_reads() const override { return true; }

  Result<ReadOutcome> ReadData(const ReadRequest& request) override {
    Result<ReadOutcome> read = Read(request);
    if (read.ok()) return read;
    return ExplainReadError(store_, fingerprint_, read.status());
  }

 private:
  Result<ReadOutcome> Read(const ReadRequest& request) {
    ItemReader reader(&store_, request.metadata.get());
    ReaderOptions options;
    options.threads = engine_.threads;
    options.verify = options_.verify;
    options.pool = engine_.PoolOrNew();
    options.transforms = engine_.transforms.get();
    options.copier = engine_.copier.get();
    options.progress = site_.progress;
    options.cancel = site_.cancel;
    options.shared = request.shared;

    ReadOutcome all;
    std::vector<size_t> objects;
    const std::vector<ReadItem>& items = request.plan->items;
    for (size_t from = 0; from < items.size();) {
      Batch batch;
      batch.reads.reserve(request.late ? 0 : items.size());
      from = Fill(request, from, &batch, &objects);
      DCP_RETURN_IF_ERROR(batch.status);
      DCP_ASSIGN_OR_RETURN(const ReadOutcome outcome, reader.ReadTensors(batch.reads, options));
      all.bytes_read += outcome.bytes_read;
      all.bytes_unverified += outcome.bytes_unverified;
      for (size_t i = 0; request.late && i < batch.reads.size(); ++i) {
        DCP_RETURN_IF_ERROR(request.commit(batch.items[i], batch.reads[i].dest));
      }
    }
    DCP_ASSIGN_OR_RETURN(const uint64_t bytes, ReadObjects(reader, options, request, objects));
    all.bytes_read += bytes;
    return all;
  }

  struct Batch {
    std::vector<TensorRead> reads;
    std::vector<size_t> items;  // of late requests
    Status status;
  };

  // Takes tensors from item `from` on: all, or, when they come and go, as many as the budget for
  // buffers has room for, at least one. Where to go on.
  size_t Fill(const ReadRequest& request, size_t from, Batch* batch, std::vector<size_t>* objects) {
    const LoadPlan& plan = *request.plan;
    uint64_t bytes = 0;
    for (; from < plan.items.size(); ++from) {
      const ReadItem& item = plan.items[from];
      if (item.kind == EntryKind::kBytes) {
        objects->push_back(from);
        continue;
      }
      if (request.late && bytes > 0 && bytes >= engine_.memory_budget) break;
      Result<Tensor> dest = request.tensor(from);
      if (!dest.ok()) {
        batch->status = dest.status();
        break;
      }
      TensorRead read;
      read.entry = &request.metadata->entries[item.entry];
      read.chunk = item.chunk;
      read.storage_offsets = plan.storage_offsets(item);
      read.lengths = plan.lengths(item);
      read.dest = *std::move(dest);
      bytes += static_cast<uint64_t>(read.dest.num_bytes());
      batch->reads.push_back(std::move(read));
      if (request.late) batch->items.push_back(from);
    }
    return from;
  }

  Result<uint64_t> ReadObjects(ItemReader& reader, const ReaderOptions& options,
                               const ReadRequest& request, const std::vector<size_t>& items) {
    const auto entry_of = [&](size_t at) -> const Entry& {
      return request.metadata->entries[request.plan->items[items[at]].entry];
    };
    std::vector<ValuePtr> values(items.size());
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    size_t workers = std::min(WorkerCount(engine_.threads), std::max<size_t>(items.size(), 1));
    DCP_RETURN_IF_ERROR(RunParallel(workers, [&](size_t) {
      for (size_t at; !stop.load() && (at = next.fetch_add(1)) < items.size();) {
        Result<ValuePtr> value = reader.ReadObject(entry_of(at), options);
        if (!value.ok()) {
          stop = true;
          return value.status();
        }
        values[at] = *std::move(value);
      }
      return Status::Ok();
    }));
    uint64_t bytes = 0;
    for (size_t at = 0; at < items.size(); ++at) {
      for (const Location& location : entry_of(at).locations) {
        if (!location.missing()) bytes += location.length;
      }
      DCP_RETURN_IF_ERROR(request.object(items[at], std::move(values[at])));
    }
    return bytes;
  }

  const Store& store_;
  const LoadOptions& options_;
  const Engine& engine_;
  LoadSite site_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<StorageReader> NewFileReader(const Store& store, const LoadOptions& options,
                                             const Engine& engine) {
  return std::make_unique<FileReader>(store, options, engine);
}

}  // namespace dcp
