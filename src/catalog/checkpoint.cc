#include "catalog/checkpoint.h"

#include <algorithm>

#include "catalog/box_read.h"
#include "catalog/near_names.h"
#include "reader/metadata_files.h"
#include "value/cast.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kNearNames = 3;
// A tensor up to this size is allocated on the metadata's word alone.
constexpr uint64_t kFreeBytes = 64ull << 20;
// Most bytes that one byte of a file can stand for: deflate gives up to 1032, zstd up to 32768
// (a block of 128 KiB from four bytes).
constexpr uint64_t kDeflateRatio = 1100;
constexpr uint64_t kTransformRatio = 40000;

}  // namespace

Result<std::shared_ptr<Checkpoint>> Checkpoint::Open(std::shared_ptr<Store> store,
                                                     const OpenOptions& options,
                                                     std::shared_ptr<const Engine> engine) {
  DCP_ASSIGN_OR_RETURN(CommittedMetadata committed, ReadCommittedMetadata(*store));
  std::shared_ptr<Checkpoint> opened(new Checkpoint());
  opened->store_ = std::move(store);
  opened->engine_ = std::move(engine);
  opened->options_ = options;
  opened->metadata_ = std::move(committed.metadata);
  opened->fingerprint_ = std::move(committed.fingerprint);
  opened->reader_ = std::make_unique<ItemReader>(opened->store_.get(), &opened->metadata_);
  return opened;
}

ReaderOptions Checkpoint::MakeReaderOptions() const {
  ReaderOptions options;
  options.threads = engine_->threads;
  options.verify = options_.verify;
  options.pool = engine_->PoolOrNew();
  options.transforms = engine_->transforms.get();
  options.copier = engine_->copier.get();
  options.cancel = options_.cancel;
  return options;
}

Status Checkpoint::Explain(const Status& error) const {
  if (error.ok()) return error;
  return ExplainReadError(*store_, fingerprint_, error);
}

Result<const Entry*> Checkpoint::FindEntry(std::string_view name) const {
  if (std::optional<size_t> at = metadata_.Find(name)) return &metadata_.entries[*at];
  std::string message = fmt::format("there is no '{}' in the checkpoint at {}", PrintableName(name),
                                    store_->location());
  std::vector<std::string_view> near = NearNames(metadata_, name, kNearNames);
  for (size_t i = 0; i < near.size(); ++i) {
    message += fmt::format("{} '{}'", i == 0 ? "; near it:" : ",", PrintableName(near[i]));
  }
  return Status(Code::kNotFound, std::move(message)).WithDetail("name", PrintableName(name));
}

Status Checkpoint::CheckTensor(const Entry& entry) const {
  if (entry.kind != EntryKind::kTensor) {
    return Error(Code::kMismatch, "'{}' is an object, not a tensor", PrintableName(entry.name));
  }
  if (!entry.unknown_dtype.empty()) {
    return Error(Code::kUnsupported, "'{}' has the dtype {}, which this library does not know",
                 PrintableName(entry.name), PrintableName(entry.unknown_dtype));
  }
  return Status::Ok();
}

Status Checkpoint::CheckItem(const Entry& entry, uint32_t chunk) const {
  if (chunk >= entry.chunk_count()) {
    return Error(Code::kInvalidArgument, "'{}' has {} chunks, there is no chunk {}",
                 PrintableName(entry.name), entry.chunk_count(), chunk);
  }
  if (entry.locations[chunk].missing()) {
    return Error(Code::kCorrupt, "the metadata lists chunk {} of '{}' but not which file holds it",
                 chunk, PrintableName(entry.name))
        .WithDetail("tensor", PrintableName(entry.name));
  }
  return Status::Ok();
}

// A shape is a few bytes of metadata; memory for it must be justified by bytes in files.
Status Checkpoint::CheckAllocation(const Entry& entry) const {
  DCP_ASSIGN_OR_RETURN(int64_t elements, NumElements(entry.size));
  uint64_t bytes;
  if (!CheckedMul<uint64_t>(static_cast<uint64_t>(elements),
                            static_cast<uint64_t>(DTypeSize(entry.properties.dtype)), &bytes)) {
    bytes = UINT64_MAX;
  }
  uint64_t justified = kFreeBytes;
  for (uint32_t i = 0; i < entry.chunk_count() && justified < bytes; ++i) {
    const Location& location = entry.locations[i];
    if (location.missing()) continue;
    DCP_ASSIGN_OR_RETURN(std::shared_ptr<ReadableFile> file, reader_->OpenFile(location.file));
    uint64_t there = file->size() < location.offset
                         ? 0
                         : std::min(location.length, file->size() - location.offset);
    uint64_t ratio =
        metadata_.transform_sets[location.transforms].empty() ? kDeflateRatio : kTransformRatio;
    if (!CheckedMul(there, ratio, &there) || !CheckedAdd(justified, there, &justified)) return {};
  }
  if (justified >= bytes) return Status::Ok();
  return Error(
             Code::kLimit,
             "'{}' claims to be {} of {} ({} bytes), far more than its items in the files can hold",
             PrintableName(entry.name), ToString(entry.size), DTypeName(entry.properties.dtype),
             bytes)
      .WithDetail("tensor", PrintableName(entry.name));
}

Result<Tensor> Checkpoint::ReadTensor(const Entry& entry, uint64_t* unverified_bytes) {
  DCP_RETURN_IF_ERROR(CheckTensor(entry));
  DCP_RETURN_IF_ERROR(Explain(CheckAllocation(entry)));
  DCP_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(entry.properties.dtype, entry.size));
  DCP_RETURN_IF_ERROR(
      ReadBox(entry, Shape(entry.ndim(), 0), Shape(entry.ndim(), 1), tensor, unverified_bytes));
  return tensor;
}

Status Checkpoint::ReadBox(const Entry& entry, Dims offsets, Dims steps, const Tensor& dest,
                           uint64_t* unverified_bytes) {
  if (unverified_bytes != nullptr) *unverified_bytes = 0;
  DCP_RETURN_IF_ERROR(CheckTensor(entry));
  if (dest.read_only) {
    return Error(Code::kInvalidArgument, "'{}' is to be read into read-only memory",
                 PrintableName(entry.name));
  }
  DType from = entry.properties.dtype;
  if (from != dest.dtype && !CanCast(from, dest.dtype)) {
    return Error(Code::kMismatch, "'{}' is {} and cannot become {}", PrintableName(entry.name),
                 DTypeName(from), DTypeName(dest.dtype));
  }
  BoxRequest request{&entry, Shape(offsets.begin(), offsets.end()),
                     Shape(steps.begin(), steps.end()), dest};
  DCP_RETURN_IF_ERROR(CheckRequest(request));
  BoxReads reads(reader_.get(), MakeReaderOptions());
  Status read = reads.Add(request);
  if (read.ok()) read = reads.Run();
  if (unverified_bytes != nullptr) *unverified_bytes = reads.unverified_bytes();
  return Explain(read);
}

Result<ValuePtr> Checkpoint::ReadObject(const Entry& entry) {
  if (entry.kind != EntryKind::kBytes) {
    return Error(Code::kMismatch, "'{}' is a tensor, not an object", PrintableName(entry.name));
  }
  DCP_RETURN_IF_ERROR(CheckItem(entry, 0));
  Result<ValuePtr> value = reader_->ReadObject(entry, MakeReaderOptions());
  if (!value.ok()) return Explain(value.status());
  return value;
}

Result<std::string> Checkpoint::ReadItemBytes(const Entry& entry, uint32_t chunk) {
  DCP_RETURN_IF_ERROR(CheckItem(entry, chunk));
  Result<std::string> bytes = reader_->ReadItemBytes(entry, chunk, MakeReaderOptions());
  if (!bytes.ok()) return Explain(bytes.status());
  return bytes;
}

Result<StoredTensor> Checkpoint::Inspect(const Entry& entry, uint32_t chunk) {
  if (entry.kind != EntryKind::kTensor) {
    return Error(Code::kMismatch, "'{}' is an object, not a tensor", PrintableName(entry.name));
  }
  DCP_RETURN_IF_ERROR(CheckItem(entry, chunk));
  Result<StoredTensor> stored = reader_->Inspect(entry, chunk, MakeReaderOptions());
  if (!stored.ok()) return Explain(stored.status());
  return stored;
}

Status Checkpoint::VerifyChunk(const Entry& entry, uint32_t chunk) {
  DCP_RETURN_IF_ERROR(CheckItem(entry, chunk));
  bool has_checksums = false;
  return Explain(reader_->VerifyItem(entry, chunk, MakeReaderOptions(), &has_checksums));
}

Result<Tensor> Checkpoint::MapChunk(const Entry& entry, uint32_t chunk) {
  DCP_RETURN_IF_ERROR(CheckTensor(entry));
  DCP_RETURN_IF_ERROR(CheckItem(entry, chunk));
  Result<Tensor> mapped = reader_->MapChunk(entry, chunk, MakeReaderOptions());
  if (!mapped.ok()) return Explain(mapped.status());
  return mapped;
}

}  // namespace dcp
