// Writes a checkpoint of several ranks without the save room: for tests of what reads them.
#ifndef DCP_TESTS_SUPPORT_WRITTEN_CHECKPOINT_H_
#define DCP_TESTS_SUPPORT_WRITTEN_CHECKPOINT_H_

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/buffer_pool.h"
#include "metadata/codec.h"
#include "metadata/flatten.h"
#include "planner/save_planner.h"
#include "storage/store.h"
#include "writer/writer.h"

namespace dcp {

struct WrittenOptions {
  std::vector<std::shared_ptr<const Transform>> transforms;
  bool block_checksums = true;
  std::function<void(Metadata&)> change;  // before the metadata is written
};

// `ranks[r]` is rank r's state; files are "__{r}_0.distcp". Nothing is durable.
inline Status WriteCheckpoint(Store& store, const std::vector<ValuePtr>& ranks,
                              const WrittenOptions& options = {}) {
  std::vector<std::vector<FlatLeaf>> leaves;
  std::vector<SavePlan> plans;
  for (const ValuePtr& state : ranks) {
    DCP_ASSIGN_OR_RETURN(std::vector<FlatLeaf> flat, Flatten(*state, FlattenRule::kDefault));
    plans.push_back(CreateLocalSavePlan(flat, true));
    leaves.push_back(std::move(flat));
  }
  DCP_ASSIGN_OR_RETURN(GlobalSavePlan global, CreateGlobalSavePlan(std::move(plans), {}));
  Metadata& metadata = global.metadata;
  if (!options.transforms.empty()) {
    metadata.transform_sets.push_back(DescriptorsFor(options.transforms));
  }
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    std::vector<Source> sources = LocalSources(leaves[rank]);
    std::vector<WriteJob> jobs;
    for (const WriteItem& item : global.ranks[rank].items) {
      const FlatLeaf& leaf = leaves[rank][sources[item.source].leaf];
      WriteJob job;
      job.name = leaf.name;
      if (leaf.value->kind == ValueKind::kTensor) {
        job.tensor = &leaf.value->tensor;
      } else if (leaf.value->kind == ValueKind::kShardedTensor) {
        job.tensor = &leaf.value->sharded->shards[sources[item.source].shard].tensor;
      } else {
        job.object = leaf.value.get();
      }
      jobs.push_back(job);
    }
    WriterOptions writer;
    writer.durable = false;
    writer.block_checksums = options.block_checksums;
    writer.transforms = options.transforms;
    writer.pool = BufferPool::Create(8 << 20, 1 << 20);
    writer.file_name = [rank](size_t n) { return fmt::format("__{}_{}.distcp", rank, n); };
    DCP_ASSIGN_OR_RETURN(WriteOutcome outcome, WriteItems(store, jobs, writer));
    for (size_t i = 0; i < outcome.items.size(); ++i) {
      GlobalSavePlan::Slot slot = global.slots[rank][i];
      Location& location = metadata.entries[slot.entry].locations[slot.chunk];
      location.file = static_cast<uint32_t>(metadata.files.size()) + outcome.items[i].file;
      location.transforms = options.transforms.empty() ? 0 : 1;
      location.offset = outcome.items[i].offset;
      location.length = outcome.items[i].length;
      location.crc32 = outcome.items[i].crc32;
      location.has_crc32 = true;
    }
    metadata.files.insert(metadata.files.end(), outcome.files.begin(), outcome.files.end());
  }
  metadata.version = "1.0.0";
  static std::atomic<int> number{0};  // no two are the same
  metadata.storage_meta.emplace();
  metadata.storage_meta->save_id = fmt::format("save {}", ++number);
  if (options.change) options.change(metadata);
  DCP_ASSIGN_OR_RETURN(std::string encoded, EncodeMetadata(metadata, Dialect::kDefault));
  return WriteWholeFile(store, ".metadata", AsBytes(encoded), false);
}

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_WRITTEN_CHECKPOINT_H_
