// Rank-local saves in the background: upstream's AsyncCheckpointer, with threads for its processes.
#ifndef DCP_RANKLOCAL_ASYNC_WRITER_H_
#define DCP_RANKLOCAL_ASYNC_WRITER_H_

#include <cstdint>
#include <memory>

#include "base/completion.h"
#include "base/deadline.h"
#include "ranklocal/rank_writer.h"
#include "staging/arena.h"

namespace dcp {

// One call at a time. Gone, it leaves a write that is under way to end by itself.
class AsyncRankWriter {
 public:
  using Pending = Completion<Result<uint64_t>>;  // the bytes of the file

  AsyncRankWriter(std::shared_ptr<RankWriter> writer, std::shared_ptr<const Engine> engine);

  // Waits for the write before. When that failed, and no call has told so yet, its failure is the
  // error, and nothing is written. Else copies every tensor of `state` and `extra`, and writes on a
  // thread of its own as RankWriter::Write does. A write that was cancelled has not failed.
  Result<std::shared_ptr<Pending>> Write(std::shared_ptr<Store> store, const ValuePtr& state,
                                         const ValuePtr& extra, const CancelToken& cancel = {});

  // Gives the memory of the copies back, which is kept from one write to the next.
  void ReleaseStaging() { staging_.Release(); }

  // Waits for the write under way, closes the writer and gives the memory back; the error is a
  // failure that no call has told. kTimeout leaves everything as it is. Again and again.
  Status Close(Deadline deadline);

 private:
  Status TellLast();

  const std::shared_ptr<RankWriter> writer_;
  const std::shared_ptr<const Engine> engine_;
  bool closed_ = false;
  ArenaKeeper staging_;
  std::shared_ptr<Pending> last_;  // null when its outcome has been told
};

}  // namespace dcp

#endif  // DCP_RANKLOCAL_ASYNC_WRITER_H_
