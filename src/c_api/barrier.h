#ifndef DCP_C_API_BARRIER_H_
#define DCP_C_API_BARRIER_H_

#include <memory>

#include "c_api/handle.h"
#include "ranklocal/barrier.h"
#include "value/value.h"

struct dcp_barrier : dcp::c_api::Handle {
  explicit dcp_barrier(std::shared_ptr<dcp::Barrier> of) : barrier(std::move(of)) {}
  std::shared_ptr<dcp::Barrier> barrier;
};

namespace dcp::c_api {

// Null for NULL.
Result<std::shared_ptr<Barrier>> BarrierOf(dcp_barrier* barrier);

// dcp_barrier_from_config; null for a NULL type.
Result<std::shared_ptr<Barrier>> BarrierFromConfig(dcp_context* context, const char* type,
                                                   const dcp_value* arguments);

}  // namespace dcp::c_api

#endif  // DCP_C_API_BARRIER_H_
