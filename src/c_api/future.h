#ifndef DCP_C_API_FUTURE_H_
#define DCP_C_API_FUTURE_H_

#include <memory>

#include "c_api/handle.h"
#include "checkpoint/async_save.h"

struct dcp_future : dcp::c_api::Handle {
  std::shared_ptr<dcp::SaveFuture> save;
};

#endif  // DCP_C_API_FUTURE_H_
