#include "writer/writer.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/thread_pool.h"
#include "value/names.h"
#include "writer/file_assignment.h"
#include "writer/file_stream.h"
#include "writer/item_writer.h"

namespace dcp {
namespace {

constexpr uint64_t kItemOverhead = 1600;  // about what a torch.save zip adds to its payload
constexpr int64_t kFetchedBytes = 16 << 10;
constexpr int64_t kCacheLine = 64;

Status CheckArguments(std::span<const WriteJob> jobs, const WriterOptions& options) {
  if (options.pool == nullptr || !options.file_name) {
    return Status(Code::kInvalidArgument, "a writer needs a buffer pool and names for its files");
  }
  if (options.files < 1) {
    return Error(Code::kInvalidArgument, "cannot write into {} files; at least one is needed",
                 options.files);
  }
  if (jobs.size() >= UINT32_MAX) {
    return Error(Code::kLimit, "{} items are more than one rank can write", jobs.size());
  }
  for (const WriteJob& job : jobs) {
    const bool both = job.tensor != nullptr && job.object != nullptr;
    if (both || (job.late() && !options.resolve)) {
      return Error(Code::kInvalidArgument, "'{}' is not exactly one of a tensor and an object",
                   PrintableName(job.name));
    }
  }
  return Status::Ok();
}

// Writes all files with a few threads, each of which takes the next file when it has finished one.
class Writing {
 public:
  Writing(Store& store, std::span<const WriteJob> jobs, const WriterOptions& options)
      : store_(store),
        jobs_(jobs),
        options_(options),
        assignment_(AssignFiles(jobs, options.files, options.file_per_item)) {
    const size_t files = assignment_.files();
    threads_ = std::min({files, static_cast<size_t>(options.files), options.pool->capacity()});
    threads_ = std::max<size_t>(threads_, 1);
    outcome_.files.reserve(files);
    for (size_t i = 0; i < files; ++i) outcome_.files.push_back(options.file_name(i));
    outcome_.items.resize(jobs.size());
    created_.resize(files, 0);
  }

  Result<WriteOutcome> Run() {
    Status status = RunParallel(threads_, [this](size_t) { return Work(); });
    if (status.ok()) status = first_error_;
    if (status.ok()) {
      outcome_.bytes = bytes_.load();
      return std::move(outcome_);
    }
    for (size_t i = 0; i < created_.size(); ++i) {
      // What cannot be removed stays as a file that no metadata names.
      if (created_[i] != 0) static_cast<void>(store_.Remove(outcome_.files[i]));
    }
    return status;
  }

 private:
  Status Work() {
    ItemWriter items(options_, stop_);
    for (;;) {
      const size_t file = next_.fetch_add(1, std::memory_order_relaxed);
      if (file >= assignment_.files() || stop_.load(std::memory_order_relaxed)) {
        return Status::Ok();
      }
      Status status = WriteFile(file, items);
      if (status.ok()) continue;
      std::lock_guard lock(mutex_);
      if (!stop_.exchange(true)) first_error_ = std::move(status);
      return Status::Ok();
    }
  }

  uint64_t ExpectedSize(size_t file) const {
    uint64_t bytes = 1;  // 0 would mean "unknown"
    for (uint32_t job : assignment_.jobs(file)) {
      bytes += kItemOverhead;
      if (jobs_[job].holds_tensor()) bytes += static_cast<uint64_t>(jobs_[job].payload_bytes());
    }
    return bytes;
  }

  Status WriteFile(size_t file, ItemWriter& items) {
    const std::string& name = outcome_.files[file];
    CreateOptions create;
    create.expected_size = ExpectedSize(file);
    create.durable = options_.durable;
    create.direct = options_.direct;
    created_[file] = 1;  // a failed Create may have left something too
    DCP_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> writable, store_.Create(name, create));
    if (writable->alignment() > BufferPool::kAlignment) {
      return Error(Code::kUnsupported, "'{}' wants writes aligned to {} bytes; buffers have {}",
                   name, writable->alignment(), BufferPool::kAlignment);
    }
    FileStream stream(std::move(writable), options_.pool.get(),
                      options_.pool->capacity() / threads_, options_.cancel);
    const std::span<const uint32_t> jobs = assignment_.jobs(file);
    for (size_t i = 0; i < jobs.size(); ++i) {
      const uint32_t job = jobs[i];
      if (i + 1 < jobs.size()) FetchSmall(jobs_[jobs[i + 1]]);
      WrittenItem& item = outcome_.items[job];
      item.file = static_cast<uint32_t>(file);
      const Status status = jobs_[job].late() ? WriteLate(job, stream, items)
                                              : items.Write(jobs_[job], stream, &item);
      if (!status.ok()) return Describe(status, jobs_[job], name, item.offset);
    }
    DCP_RETURN_IF_ERROR(items.TellProgress());
    if (Status status = stream.Finish(options_.durable); !status.ok()) {
      return status.WithContext(fmt::format("finishing data file '{}'", name))
          .WithDetail("file", name);
    }
    bytes_.fetch_add(stream.position(), std::memory_order_relaxed);
    return Status::Ok();
  }

  // Asks for the bytes of a small tensor ahead of its turn: each lies somewhere else, so that the
  // processor does not see it coming.
  static void FetchSmall(const WriteJob& job) {
    const Tensor* tensor = job.tensor;
    if (tensor == nullptr || tensor->data == nullptr || !tensor->device.is_cpu()) return;
    const int64_t bytes = tensor->num_bytes();
    if (bytes > kFetchedBytes || !tensor->contiguous()) return;
    for (int64_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(tensor->data + at);
  }

  Status WriteLate(uint32_t number, FileStream& stream, ItemWriter& items) {
    WriteJob job = jobs_[number];
    DCP_ASSIGN_OR_RETURN(const ValuePtr value, options_.resolve(number));
    const bool tensor = value != nullptr && value->kind == ValueKind::kTensor;
    if (value == nullptr || tensor != job.late_tensor) {
      return Error(Code::kInvalidArgument, "the plan has {} here, and {} was given",
                   job.late_tensor ? "a tensor" : "an object",
                   value == nullptr ? "nothing"
                   : tensor         ? "a tensor"
                                    : "an object");
    }
    if (tensor) {
      job.tensor = &value->tensor;
    } else {
      job.object = value.get();
    }
    DCP_RETURN_IF_ERROR(items.Write(job, stream, &outcome_.items[number]));
    return items.TellProgress();  // resolving the next one may take its time
  }

  static Status Describe(const Status& status, const WriteJob& job, const std::string& file,
                         uint64_t offset) {
    const bool tensor = job.holds_tensor();
    return status
        .WithContext(fmt::format("writing {} '{}' to '{}' at offset {}",
                                 tensor ? "tensor" : "object", PrintableName(job.name), file,
                                 offset))
        .WithDetail(tensor ? "tensor" : "object", std::string(job.name))
        .WithDetail("file", file)
        .WithDetail("offset", fmt::format("{}", offset));
  }

  Store& store_;
  const std::span<const WriteJob> jobs_;
  const WriterOptions& options_;
  const FileAssignment assignment_;
  size_t threads_ = 1;
  WriteOutcome outcome_;
  std::vector<char> created_;  // one a file; each set by the thread that has the file
  std::atomic<size_t> next_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  Status first_error_;  // guarded by mutex_
};

}  // namespace

Result<WriteOutcome> WriteItems(Store& store, std::span<const WriteJob> jobs,
                                const WriterOptions& options) {
  DCP_RETURN_IF_ERROR(CheckArguments(jobs, options));
  return Writing(store, jobs, options).Run();
}

}  // namespace dcp
