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
  std::shared_ptr<Store> store;
  std::shared_ptr<Communicator> comm;
  ValuePtr state;
  SaveOptions options;
  std::shared_ptr<const Engine> engine;

  Result<SaveResult> Run() const {
    Result<SaveResult> result = Status(Code::kInternal, "the save did not run");
    // RunParallel turns exceptions into statuses.
    Status ran = RunParallel(1, [&](size_t) {
      result = Save(*store, *comm, *state, options, *engine);
      return Status::Ok();
    });
    if (!ran.ok()) return ran;
    return result;
  }
};

}  // namespace

Result<std::shared_ptr<SaveFuture>> SaveAsync(std::shared_ptr<Store> store,
                                              std::shared_ptr<Communicator> comm, ValuePtr state,
                                              const SaveOptions& options,
                                              std::shared_ptr<const Engine> engine) {
  Progress progress(engine->progress.get(), options.cancel);
  DCP_ASSIGN_OR_RETURN(ValuePtr staged, Stage(*state, *engine, &progress));
  auto future = std::make_shared<Future>(options.cancel);
  Work work{std::move(store), std::move(comm), std::move(staged), options, std::move(engine)};
  try {
    std::thread([future, work = std::move(work)]() mutable {
      Result<SaveResult> result = work.Run();
      work = Work();
      future->End(std::move(result));
    }).detach();
  } catch (const std::system_error& error) {
    return Error(Code::kOutOfMemory, "no thread for a background save: {}", error.what());
  }
  return std::shared_ptr<SaveFuture>(std::move(future));
}

}  // namespace dcp
