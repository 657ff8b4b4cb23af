// Rank-local checkpoints: each rank writes its state as one file that torch.load reads, and the
// ranks meet at a barrier when they have. Upstream's CheckpointWriter, whose order this keeps, with
// what it promises and does not do: the file is durable before pre_commit, and never torn; the
// timeout is enforced.
#ifndef DCP_RANKLOCAL_RANK_WRITER_H_
#define DCP_RANKLOCAL_RANK_WRITER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/cancel.h"
#include "ranklocal/barrier.h"
#include "staging/engine.h"
#include "storage/store.h"
#include "value/value.h"

namespace dcp {

// What a host does around the commit. On the writing thread, one call at a time.
class CommitHook {
 public:
  virtual ~CommitHook() = default;
  // The file is written and durable. `path` is the store's location, `extra` what Write was given.
  virtual Status PreCommit(const std::string& path, const ValuePtr& extra) = 0;
  // Every rank has come to the barrier.
  virtual Status PostCommit(const std::string& path, const ValuePtr& extra) = 0;
};

struct RankWriterOptions {
  int32_t rank = 0;
  int32_t world_size = 1;
  int64_t barrier_timeout_ms = 600000;  // upstream's write_barrier_timeout_secs; < 0: no end
  bool durable = true;
};

// One call at a time, on any thread; Close on any.
class RankWriter {
 public:
  // `barrier` and `hook` may be null.
  static Result<std::unique_ptr<RankWriter>> New(const RankWriterOptions& options,
                                                 std::shared_ptr<Barrier> barrier,
                                                 std::shared_ptr<CommitHook> hook,
                                                 std::shared_ptr<const Engine> engine);

  // Writes `checkpoint_{rank}.pt` in the store, then pre_commit, the barrier, post_commit. The
  // first that fails is the error, and what follows it is not done: "step" among its details is
  // "write", "pre_commit", "barrier" or "post_commit". Before the file is whole the older one
  // stays. `extra` may be null. Returns the bytes of the file.
  Result<uint64_t> Write(Store& store, const Value& state, const ValuePtr& extra,
                         CancelToken cancel = {});
  // Lets go of barrier and hook. Again and again; Write then fails.
  void Close();

 private:
  RankWriter(const RankWriterOptions& options, std::shared_ptr<Barrier> barrier,
             std::shared_ptr<CommitHook> hook, std::shared_ptr<const Engine> engine);
  Result<uint64_t> WriteFile(Store& store, const Value& state, const CancelToken& cancel) const;

  const RankWriterOptions options_;
  const std::shared_ptr<const Engine> engine_;
  std::mutex mutex_;
  bool closed_ = false;
  std::shared_ptr<Barrier> barrier_;
  std::shared_ptr<CommitHook> hook_;
};

}  // namespace dcp

#endif  // DCP_RANKLOCAL_RANK_WRITER_H_
