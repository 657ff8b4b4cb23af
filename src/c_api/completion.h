// The end of work that a callback leaves running.
#ifndef DCP_C_API_COMPLETION_H_
#define DCP_C_API_COMPLETION_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/progress.h"
#include "c_api/handle.h"

namespace dcp::c_api {

// Any thread.
class HostCompletion {
 public:
  void End(Result<std::string> outcome);  // the first counts
  void StillHere();
  // What it brings. kTimeout after `silence_ms` without a sign (negative: never); signs are handed
  // on to `progress`. `what` was begun, for messages.
  Result<std::string> Await(int64_t silence_ms, const CancelToken& cancel, Progress* progress,
                            const char* what);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Result<std::string>> outcome_;
  uint64_t signs_ = 0;
};

}  // namespace dcp::c_api

struct dcp_completion : dcp::c_api::Handle {
  // `request` is kept as long as the completion is.
  dcp_completion(std::shared_ptr<dcp::c_api::HostCompletion> of,
                 std::shared_ptr<const void> request, const char* name)
      : completion(std::move(of)), keeps(std::move(request)), what(name) {}
  ~dcp_completion();
  std::shared_ptr<dcp::c_api::HostCompletion> completion;
  std::shared_ptr<const void> keeps;
  const char* what;
};

#endif  // DCP_C_API_COMPLETION_H_
