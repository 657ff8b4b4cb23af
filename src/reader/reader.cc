#include "reader/reader.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "reader/read_plan.h"
#include "reader/read_worker.h"

namespace dcp {
namespace {

constexpr size_t kSmallestBuffer = 128 << 10;
constexpr size_t kMostOpenFiles = 128;

}  // namespace

Status CheckReaderOptions(const ReaderOptions& options) {
  if (options.pool == nullptr || options.transforms == nullptr) {
    return Status(Code::kInvalidArgument, "a reader needs a buffer pool and a transform registry");
  }
  if (options.pool->buffer_size() < kSmallestBuffer) {
    return Error(Code::kInvalidArgument, "buffers of {} bytes are too small to read with; use {}",
                 options.pool->buffer_size(), kSmallestBuffer);
  }
  return Status::Ok();
}

Result<std::shared_ptr<ReadableFile>> ItemReader::OpenFile(uint32_t file) {
  if (file >= metadata_->files.size()) {
    return Error(Code::kInvalidArgument, "there is no data file {}; the checkpoint has {}", file,
                 metadata_->files.size());
  }
  std::lock_guard lock(mutex_);
  if (auto found = files_.find(file); found != files_.end()) return found->second;
  const std::string& name = metadata_->files[file];
  auto opened = store_->Open(name);
  if (!opened.ok()) {
    if (opened.status().code() != Code::kNotFound) return opened.status();
    return Error(Code::kReplaced,
                 "data file '{}' of {} is gone: the checkpoint was replaced while it was open, or "
                 "the file was lost; open it again",
                 name, store_->location())
        .WithDetail("file", name);
  }
  // Those in use stay open through their users.
  while (files_.size() >= kMostOpenFiles) files_.erase(files_.begin());
  std::shared_ptr<ReadableFile> handle = *std::move(opened);
  files_.emplace(file, handle);
  return handle;
}

Result<ReadOutcome> ItemReader::ReadTensors(std::span<const TensorRead> reads,
                                            const ReaderOptions& options) {
  DCP_RETURN_IF_ERROR(CheckReaderOptions(options));
  ReadWork work;
  work.reader = this;
  work.options = &options;
  DCP_ASSIGN_OR_RETURN(ReadPlan plan,
                       MakeReadPlan(*this, *metadata_, reads, options, &work.bytes_read));
  work.plan = &plan;
  const size_t workers = std::max<size_t>(
      1, std::min({WorkerCount(options.threads), plan.pieces.size(), options.pool->capacity()}));
  work.buffers_each = std::max<size_t>(1, options.pool->capacity() / workers);
  std::mutex mutex;
  Status first_error;
  DCP_RETURN_IF_ERROR(RunParallel(workers, [&](size_t) {
    Status status = ReadWorker(&work).Run();
    if (status.ok()) return status;
    std::lock_guard lock(mutex);
    if (!work.stop.exchange(true)) first_error = status;
    return Status::Ok();
  }));
  if (!first_error.ok()) return first_error;
  return ReadOutcome{work.bytes_read.load(), work.bytes_unverified.load()};
}

}  // namespace dcp
