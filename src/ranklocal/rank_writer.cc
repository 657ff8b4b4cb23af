#include "ranklocal/rank_writer.h"

#include <utility>

#include "ranklocal/rank_file.h"
#include "staging/stage.h"
#include "writer/writer.h"

namespace dcp {
namespace {

Status InStep(const Status& status, const char* step) { return status.WithDetail("step", step); }

}  // namespace

Result<std::unique_ptr<RankWriter>> RankWriter::New(const RankWriterOptions& options,
                                                    std::shared_ptr<Barrier> barrier,
                                                    std::shared_ptr<CommitHook> hook,
                                                    std::shared_ptr<const Engine> engine) {
  if (options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size) {
    return Error(Code::kInvalidArgument, "rank {} of {}", options.rank, options.world_size);
  }
  return std::unique_ptr<RankWriter>(
      new RankWriter(options, std::move(barrier), std::move(hook), std::move(engine)));
}

RankWriter::RankWriter(const RankWriterOptions& options, std::shared_ptr<Barrier> barrier,
                       std::shared_ptr<CommitHook> hook, std::shared_ptr<const Engine> engine)
    : options_(options),
      engine_(std::move(engine)),
      barrier_(std::move(barrier)),
      hook_(std::move(hook)) {}

void RankWriter::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  barrier_.reset();
  hook_.reset();
}

Result<uint64_t> RankWriter::Write(Store& store, const Value& state, const ValuePtr& extra,
                                   CancelToken cancel) {
  std::shared_ptr<Barrier> barrier;
  std::shared_ptr<CommitHook> hook;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return Status(Code::kInvalidArgument, "the writer is closed");
    barrier = barrier_;
    hook = hook_;
  }
  const std::string path(store.location());
  Result<uint64_t> written = WriteFile(store, state, cancel);
  if (!written.ok()) return InStep(written.status(), "write");
  if (hook != nullptr) {
    if (Status status = hook->PreCommit(path, extra); !status.ok()) {
      return InStep(status, "pre_commit");
    }
  }
  if (barrier != nullptr) {
    const Status status =
        ExecuteInTime(std::move(barrier), Silence(options_.barrier_timeout_ms), cancel);
    if (!status.ok()) return InStep(status, "barrier");
  }
  if (hook != nullptr) {
    if (Status status = hook->PostCommit(path, extra); !status.ok()) {
      return InStep(status, "post_commit");
    }
  }
  return written;
}

// Under another name until it is whole, and then renamed over the older one.
Result<uint64_t> RankWriter::WriteFile(Store& store, const Value& state,
                                       const CancelToken& cancel) const {
  const std::string name = RankFileName(options_.rank);
  const std::string temporary = name + ".tmp";
  Progress progress(engine_->progress.get(), cancel);
  ValuePtr on_host;  // objects are written from host memory
  if (HoldsDeviceTensors(state)) {
    DCP_ASSIGN_OR_RETURN(on_host, Stage(state, *engine_, &progress));
  }
  DCP_RETURN_IF_ERROR(progress.Begin(ProgressPhase::kWrite, 0, 1));
  DCP_RETURN_IF_ERROR(store.MakeRoot());
  WriteJob job;
  job.name = name;
  job.object = on_host == nullptr ? &state : on_host.get();
  WriterOptions writer;
  writer.durable = options_.durable;
  writer.pool = engine_->PoolOrNew();
  writer.progress = &progress;
  writer.cancel = cancel;
  writer.file_name = [&temporary](size_t) { return temporary; };
  Result<WriteOutcome> written = WriteItems(store, {&job, 1}, writer);
  if (!written.ok()) return written.status();
  if (Status renamed = store.Rename(temporary, name); !renamed.ok()) {
    (void)store.Remove(temporary);  // the next write replaces it
    return renamed;
  }
  if (options_.durable) DCP_RETURN_IF_ERROR(store.SyncFolder());
  DCP_RETURN_IF_ERROR(progress.End());
  return written->bytes;
}

}  // namespace dcp
