#ifndef DCP_C_API_CONTEXT_H_
#define DCP_C_API_CONTEXT_H_

#include <memory>
#include <mutex>
#include <vector>

#include "base/cancel.h"
#include "c_api/handle.h"
#include "checkpoint/async_save.h"
#include "ranklocal/barrier_registry.h"
#include "staging/engine.h"

struct dcp_cancel : dcp::c_api::Handle {
  dcp::CancelToken token;
};

namespace dcp::c_api {

// What dcp_context_drain waits for.
class BackgroundSaves {
 public:
  void Add(std::shared_ptr<SaveFuture> save);
  std::vector<std::shared_ptr<SaveFuture>> all() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<SaveFuture>> saves_;  // unfinished ones; guarded by mutex_
};

}  // namespace dcp::c_api

struct dcp_context : dcp::c_api::Handle {
  // Replaced as a whole when something is set, so that work under way keeps what it began with.
  std::shared_ptr<dcp::Engine> engine = std::make_shared<dcp::Engine>();
  const std::shared_ptr<dcp::c_api::BackgroundSaves> saves =
      std::make_shared<dcp::c_api::BackgroundSaves>();
  dcp::BarrierRegistry barriers;
  std::mutex mutex;
};

namespace dcp::c_api {

// The context's engine, or a fresh default one for NULL.
Result<std::shared_ptr<const Engine>> EngineOf(dcp_context* context);
// A token that never fires for NULL.
Result<CancelToken> TokenOf(const dcp_cancel* cancel);

}  // namespace dcp::c_api

#endif  // DCP_C_API_CONTEXT_H_
