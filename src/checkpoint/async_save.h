// A save in the background: staged before the call returns, one thread a save.
#ifndef DCP_CHECKPOINT_ASYNC_SAVE_H_
#define DCP_CHECKPOINT_ASYNC_SAVE_H_

#include <functional>
#include <memory>

#include "checkpoint/save.h"

namespace dcp {

// Counted; any thread. The work goes on when the last reference is gone.
class SaveFuture {
 public:
  virtual ~SaveFuture() = default;
  // kTimeout leaves the work running; a finished save gives its result again and again.
  virtual Result<SaveResult> Wait(Deadline deadline) = 0;
  virtual bool done() const = 0;
  virtual void Cancel() = 0;
  // Called exactly once, on the save's thread or at once on the caller's when already done.
  virtual void OnDone(std::function<void(const Result<SaveResult>&)> callback) = 0;
};

// Copies every tensor of `state` before it returns; the rest runs on a thread of its own. With
// several ranks a failure to copy is the future's, and reaches all of them.
Result<std::shared_ptr<SaveFuture>> SaveAsync(std::shared_ptr<Store> store,
                                              std::shared_ptr<Communicator> comm, ValuePtr state,
                                              const SaveOptions& options,
                                              std::shared_ptr<const Engine> engine);
// The same through a storage writer of the caller's, used for this save alone.
Result<std::shared_ptr<SaveFuture>> SaveAsync(std::shared_ptr<StorageWriter> writer,
                                              std::shared_ptr<Communicator> comm, ValuePtr state,
                                              const SaveOptions& options,
                                              std::shared_ptr<const Engine> engine);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_ASYNC_SAVE_H_
