#include "catalog/lazy_state.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "value/names.h"

namespace dcp {
namespace {

constexpr int64_t kBlockBytes = 8 << 20;

// The row-major elements of one chunk, read forward in blocks: a block is a range of one dimension
// with everything behind it whole and one index of each dimension before it.
class ChunkSource final : public ElementSource {
 public:
  ChunkSource(std::shared_ptr<Checkpoint> checkpoint, const Entry* entry, uint32_t chunk)
      : checkpoint_(std::move(checkpoint)),
        entry_(entry),
        chunk_(chunk),
        offsets_(entry->chunk(chunk).offsets.begin(), entry->chunk(chunk).offsets.end()),
        sizes_(entry->chunk(chunk).sizes.begin(), entry->chunk(chunk).sizes.end()) {
    inner_ = DTypeSize(entry->properties.dtype);
    split_ = sizes_.size();
    while (split_ > 0 && inner_ * sizes_[split_ - 1] <= kBlockBytes) inner_ *= sizes_[--split_];
    total_ = static_cast<uint64_t>(inner_);
    for (size_t d = 0; d < split_; ++d) total_ *= static_cast<uint64_t>(sizes_[d]);
  }

  Status Read(uint64_t offset, MutableBytes out) override {
    while (!out.empty()) {
      if (offset < begin_ || offset >= begin_ + block_.size()) DCP_RETURN_IF_ERROR(Fetch(offset));
      size_t at = static_cast<size_t>(offset - begin_);
      size_t part = std::min(out.size(), block_.size() - at);
      std::memcpy(out.data(), block_.data() + at, part);
      out = out.subspan(part);
      offset += part;
    }
    if (offset == total_)
      std::vector<std::byte>().swap(block_);  // one block at a time, not one each
    return Status::Ok();
  }

 private:
  // Reads the block that holds the byte at `offset`.
  Status Fetch(uint64_t offset) {
    Shape at = offsets_;
    Shape size = sizes_;
    int64_t bytes = inner_;
    if (split_ > 0) {
      size_t d = split_ - 1;  // the dimension that is cut into ranges
      int64_t number = static_cast<int64_t>(offset / static_cast<uint64_t>(inner_));
      int64_t index = number % sizes_[d];
      int64_t range = std::min(std::max<int64_t>(kBlockBytes / inner_, 1), sizes_[d] - index);
      at[d] += index;
      size[d] = range;
      bytes = inner_ * range;
      begin_ = static_cast<uint64_t>(number) * static_cast<uint64_t>(inner_);
      for (int64_t outer = number / sizes_[d]; d-- > 0; outer /= sizes_[d]) {
        at[d] += outer % sizes_[d];
        size[d] = 1;
      }
    } else {
      begin_ = 0;
    }
    block_.resize(static_cast<size_t>(bytes));
    DCP_ASSIGN_OR_RETURN(Tensor dest,
                         Tensor::Borrow(entry_->properties.dtype, size, {}, block_.data()));
    Shape ones(sizes_.size(), 1);
    uint64_t unverified = 0;
    Status read = checkpoint_->ReadBox(*entry_, at, ones, dest, &unverified);
    if (read.ok() && unverified > 0 && !verified_) {
      verified_ = true;  // without block checksums the whole item is checked, once
      read = checkpoint_->VerifyChunk(*entry_, chunk_);
    }
    if (!read.ok()) block_.clear();
    return read;
  }

  std::shared_ptr<Checkpoint> checkpoint_;
  const Entry* entry_;
  uint32_t chunk_;
  bool verified_ = false;
  Shape offsets_;
  Shape sizes_;
  uint64_t total_ = 0;
  int64_t inner_ = 1;  // bytes of one step of dimension split_ - 1
  size_t split_ = 0;   // dimensions from here on are read whole
  uint64_t begin_ = 0;
  std::vector<std::byte> block_;
};

Result<Tensor> LazyChunk(const std::shared_ptr<Checkpoint>& checkpoint, const Entry& entry,
                         uint32_t chunk) {
  Dims sizes = entry.chunk(chunk).sizes;
  DCP_ASSIGN_OR_RETURN(int64_t elements, NumElements(sizes));
  Tensor tensor;
  tensor.dtype = entry.properties.dtype;
  tensor.shape.assign(sizes.begin(), sizes.end());
  tensor.strides = ContiguousStrides(sizes);
  tensor.requires_grad = entry.properties.requires_grad;
  if (elements > 0) tensor.source = std::make_shared<ChunkSource>(checkpoint, &entry, chunk);
  return tensor;
}

Result<ValuePtr> LazyTensor(const std::shared_ptr<Checkpoint>& checkpoint, const Entry& entry) {
  if (!entry.unknown_dtype.empty()) {
    return Error(Code::kUnsupported, "'{}' has the dtype {}, which this library does not know",
                 PrintableName(entry.name), PrintableName(entry.unknown_dtype));
  }
  bool whole = entry.chunk_count() == 1 && std::ranges::equal(entry.chunk(0).sizes, entry.size);
  if (whole) {
    DCP_ASSIGN_OR_RETURN(Tensor tensor, LazyChunk(checkpoint, entry, 0));
    return Value::Of(std::move(tensor));
  }
  ShardedTensor sharded;
  sharded.dtype = entry.properties.dtype;
  sharded.global_shape = entry.size;
  sharded.requires_grad = entry.properties.requires_grad;
  std::set<std::pair<Shape, Shape>> seen;
  for (uint32_t i = 0; i < entry.chunk_count(); ++i) {
    Box box = entry.chunk(i);
    // Several ranks may have stored the same box (saves without collectives): once is enough.
    bool first = seen.emplace(Shape(box.offsets.begin(), box.offsets.end()),
                              Shape(box.sizes.begin(), box.sizes.end()))
                     .second;
    if (!first) continue;
    DCP_ASSIGN_OR_RETURN(Tensor tensor, LazyChunk(checkpoint, entry, i));
    sharded.shards.push_back({Shape(box.offsets.begin(), box.offsets.end()), std::move(tensor)});
  }
  return Value::Of(std::move(sharded));
}

}  // namespace

Result<std::vector<FlatLeaf>> LazyLeaves(std::shared_ptr<Checkpoint> checkpoint) {
  const Metadata& metadata = checkpoint->metadata();
  std::unordered_map<std::string_view, const Path*> paths;
  if (metadata.planner_data) {
    for (const auto& [name, path] : *metadata.planner_data) paths.emplace(name, &path);
  }
  std::vector<FlatLeaf> leaves;
  leaves.reserve(metadata.entries.size());
  for (const Entry& entry : metadata.entries) {
    FlatLeaf leaf;
    leaf.name = entry.name;
    auto path = paths.find(entry.name);
    leaf.path = path == paths.end() ? Path{entry.name} : *path->second;
    if (entry.kind == EntryKind::kTensor) {
      DCP_ASSIGN_OR_RETURN(leaf.value, LazyTensor(checkpoint, entry));
    } else {
      DCP_ASSIGN_OR_RETURN(leaf.value, checkpoint->ReadObject(entry));
    }
    leaves.push_back(std::move(leaf));
  }
  return leaves;
}

}  // namespace dcp
