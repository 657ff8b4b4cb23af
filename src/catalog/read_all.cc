#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "catalog/box_read.h"
#include "catalog/checkpoint.h"
#include "metadata/flatten.h"

namespace dcp {
namespace {

ValuePtr FlatDict(std::vector<FlatLeaf> leaves) {
  std::vector<std::pair<ValuePtr, ValuePtr>> entries;
  entries.reserve(leaves.size());
  for (FlatLeaf& leaf : leaves) {
    entries.emplace_back(Value::String(std::move(leaf.name)), std::move(leaf.value));
  }
  return Value::Dict(std::move(entries));
}

void AddPaths(const Metadata& metadata, std::vector<FlatLeaf>* leaves) {
  if (!metadata.planner_data) return;
  std::unordered_map<std::string_view, const Path*> paths;
  for (const auto& [name, path] : *metadata.planner_data) paths.emplace(name, &path);
  for (FlatLeaf& leaf : *leaves) {
    auto found = paths.find(leaf.name);
    if (found != paths.end()) leaf.path = *found->second;
  }
}

}  // namespace

Result<ValuePtr> Checkpoint::ReadAll(bool nested) {
  std::vector<FlatLeaf> leaves(metadata_.entries.size());
  std::vector<size_t> objects;
  uint64_t bytes = 0;
  Progress progress(engine_->progress.get(), options_.cancel);
  ReaderOptions reader_options = MakeReaderOptions();
  reader_options.progress = &progress;
  BoxReads reads(reader_.get(), reader_options);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const Entry& entry = metadata_.entries[i];
    leaves[i].name = entry.name;
    if (entry.kind == EntryKind::kBytes) {
      objects.push_back(i);
      continue;
    }
    DCP_RETURN_IF_ERROR(CheckTensor(entry));
    DCP_RETURN_IF_ERROR(Explain(CheckAllocation(entry)));
    BoxRequest request{&entry, Shape(entry.ndim(), 0), Shape(entry.ndim(), 1), Tensor()};
    DCP_ASSIGN_OR_RETURN(request.dest, Tensor::Allocate(entry.properties.dtype, entry.size));
    DCP_RETURN_IF_ERROR(reads.Add(request));
    bytes += static_cast<uint64_t>(request.dest.num_bytes());
    leaves[i].value = Value::Of(std::move(request.dest));
  }
  DCP_RETURN_IF_ERROR(progress.Begin(ProgressPhase::kRead, bytes, reads.size() + objects.size()));
  DCP_RETURN_IF_ERROR(Explain(reads.Run()));

  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  size_t workers = std::min(WorkerCount(engine_->threads), std::max<size_t>(objects.size(), 1));
  DCP_RETURN_IF_ERROR(Explain(RunParallel(workers, [&](size_t) {
    for (size_t at; !stop.load() && (at = next.fetch_add(1)) < objects.size();) {
      const Entry& entry = metadata_.entries[objects[at]];
      Status checked = CheckItem(entry, 0);
      Result<ValuePtr> value =
          checked.ok() ? reader_->ReadObject(entry, reader_options) : Result<ValuePtr>(checked);
      if (!value.ok()) {
        stop = true;
        return value.status();
      }
      leaves[objects[at]].value = *std::move(value);
    }
    return Status::Ok();
  })));
  DCP_RETURN_IF_ERROR(progress.End());
  if (!nested) return FlatDict(std::move(leaves));
  AddPaths(metadata_, &leaves);
  return Unflatten(leaves);
}

}  // namespace dcp
