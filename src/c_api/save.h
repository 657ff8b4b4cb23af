#ifndef DCP_C_API_SAVE_H_
#define DCP_C_API_SAVE_H_

#include "c_api/handle.h"
#include "c_api/roles.h"
#include "checkpoint/plan_cache.h"
#include "checkpoint/save.h"

struct dcp_save_report : dcp::c_api::Handle {
  explicit dcp_save_report(dcp::SaveResult of) : result(std::move(of)) {}
  dcp::SaveResult result;
};

struct dcp_plan_cache : dcp::c_api::Handle {
  std::shared_ptr<dcp::PlanCache> cache = std::make_shared<dcp::PlanCache>();
};

namespace dcp::c_api {

// What a caller's options say.
struct SaveRequest {
  SaveOptions options;
  std::shared_ptr<Communicator> comm;  // of one rank when they name none
  StorageWriterRole writer;            // may be null
};
Result<SaveRequest> SaveRequestOf(const dcp_save_options* options);

// Hands a save's outcome out: its status, and a new report when there is one and it is asked for.
Status DeliverReport(const Result<SaveResult>& result, dcp_save_report** report);

}  // namespace dcp::c_api

#endif  // DCP_C_API_SAVE_H_
