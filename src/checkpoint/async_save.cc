#include "checkpoint/async_save.h"

#include <system_error>
#include <thread>
#include <utility>

#include "base/completion.h"
#include "base/thread_pool.h"
#include "staging/stage.h"

namespace dcp {
namespace {

class Future final : public SaveFuture {
 public:
  explicit Future(CancelToken cancel) : cancel_(std::move(cancel)) {}

  Result<SaveResult> Wait(Deadline deadline) override {
    const Result<SaveResult>* const result = completion_.Wait(deadline);
    if (result == nullptr) {
      return Status(Code::kTimeout, "the save is still running: wait again, or cancel it");
    }
    return *result;
  }

  bool done() const override { return completion_.done(); }
  void Cancel() override { cancel_.Cancel(); }
  void OnDone(std::function<void(const Result<SaveResult>&)> callback) override {
    completion_.OnDone(std::move(callback));
  }
  void End(Result<SaveResult> result) { completion_.End(std::move(result)); }

 private:
  CancelToken cancel_;
  Completion<Result<SaveResult>> completion_;
};

// Everything a background save uses, gone before its future is done.
struct Work {
  std::shared_ptr<Store> store;  // one of the two
  std::shared_ptr<StorageWriter> writer;
  std::shared_ptr<Communicator> comm;
  Result<ValuePtr> state;  // staged; a failure is told to the other ranks
  SaveOptions options;
  std::shared_ptr<const Engine> engine;

  Result<SaveResult> Run() const {
    Result<SaveResult> result = Status(Code::kInternal, "the save did not run");
    // RunParallel turns exceptions into statuses.
    Status ran = RunParallel(1, [&](size_t) {
      result = writer != nullptr ? Save(*writer, *comm, state, options, *engine)
                                 : Save(*store, *comm, state, options, *engine);
      return Status::Ok();
    });
    if (!ran.ok()) return ran;
    return result;
  }
};

Result<std::shared_ptr<SaveFuture>> Start(Work given, const ValuePtr& state) {
  auto work = std::make_unique<Work>(std::move(given));
  Progress progress(work->engine->progress.get(), work->options.cancel);
  work->state = Stage(*state, *work->engine, &progress);
  if (!work->state.ok() && work->comm->world_size() == 1) return work->state.status();
  auto future = std::make_shared<Future>(work->options.cancel);
  try {
    std::thread([future, work = std::move(work)]() mutable {
      Result<SaveResult> result = work->Run();
      work.reset();
      future->End(std::move(result));
    }).detach();
  } catch (const std::system_error& error) {
    return Error(Code::kOutOfMemory, "no thread for a background save: {}", error.what());
  }
  return std::shared_ptr<SaveFuture>(std::move(future));
}

}  // namespace

Result<std::shared_ptr<SaveFuture>> SaveAsync(std::shared_ptr<Store> store,
                                              std::shared_ptr<Communicator> comm, ValuePtr state,
                                              const SaveOptions& options,
                                              std::shared_ptr<const Engine> engine) {
  return Start({std::move(store), nullptr, std::move(comm), ValuePtr(), options, std::move(engine)},
               state);
}

Result<std::shared_ptr<SaveFuture>> SaveAsync(std::shared_ptr<StorageWriter> writer,
                                              std::shared_ptr<Communicator> comm, ValuePtr state,
                                              const SaveOptions& options,
                                              std::shared_ptr<const Engine> engine) {
  return Start(
      {nullptr, std::move(writer), std::move(comm), ValuePtr(), options, std::move(engine)}, state);
}

}  // namespace dcp
