#include "ranklocal/async_writer.h"

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "base/thread_pool.h"
#include "staging/stage.h"

namespace dcp {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // how often it is looked whether to stop

// Everything a background write uses, gone before it is known to have ended.
struct Work {
  std::shared_ptr<RankWriter> writer;
  std::shared_ptr<Store> store;
  ValuePtr state;
  ValuePtr extra;
  CancelToken cancel;

  Result<uint64_t> Run() const {
    Result<uint64_t> bytes = Status(Code::kInternal, "the write did not run");
    // RunParallel turns exceptions into statuses.
    DCP_RETURN_IF_ERROR(RunParallel(1, [&](size_t) {
      bytes = writer->Write(*store, *state, extra, cancel);
      return Status::Ok();
    }));
    return bytes;
  }
};

}  // namespace

AsyncRankWriter::AsyncRankWriter(std::shared_ptr<RankWriter> writer,
                                 std::shared_ptr<const Engine> engine)
    : writer_(std::move(writer)), engine_(std::move(engine)) {}

// The write before has ended.
Status AsyncRankWriter::TellLast() {
  const std::shared_ptr<Pending> last = std::exchange(last_, nullptr);
  if (last == nullptr) return Status::Ok();
  const Status status = last->Wait(Deadline::Now())->status();
  if (status.code() == Code::kCancelled) return Status::Ok();
  return status.WithContext("the save before failed");
}

Result<std::shared_ptr<AsyncRankWriter::Pending>> AsyncRankWriter::Write(
    std::shared_ptr<Store> store, const ValuePtr& state, const ValuePtr& extra,
    const CancelToken& cancel) {
  if (closed_) return Status(Code::kInvalidArgument, "the checkpointer is closed");
  while (last_ != nullptr && last_->Wait(Deadline::After(kLook)) == nullptr) {
    DCP_RETURN_IF_ERROR(cancel.Check());
  }
  DCP_RETURN_IF_ERROR(TellLast());

  Progress progress(engine_->progress.get(), cancel);
  std::vector<ValuePtr> parts = {state};
  if (extra != nullptr) parts.push_back(extra);
  const ValuePtr both = Value::Sequence(ValueKind::kTuple, std::move(parts));
  DCP_ASSIGN_OR_RETURN(ValuePtr staged, Stage(*both, *engine_, &progress, &staging_));
  Work work{writer_, std::move(store), staged->items[0],
            extra == nullptr ? nullptr : staged->items[1], cancel};
  staged.reset();

  auto pending = std::make_shared<Pending>();
  try {
    std::thread([pending, work = std::move(work)]() mutable {
      Result<uint64_t> bytes = work.Run();
      work = Work();
      pending->End(std::move(bytes));
    }).detach();
  } catch (const std::system_error& problem) {
    return Error(Code::kOutOfMemory, "no thread for a background save: {}", problem.what());
  }
  last_ = pending;
  return pending;
}

Status AsyncRankWriter::Close(Deadline deadline) {
  if (last_ != nullptr && last_->Wait(deadline) == nullptr) {
    return Status(Code::kTimeout, "a save is still running: close again, or cancel it");
  }
  closed_ = true;
  writer_->Close();
  staging_.Release();
  return TellLast();
}

}  // namespace dcp
