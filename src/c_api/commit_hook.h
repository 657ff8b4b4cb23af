#ifndef DCP_C_API_COMMIT_HOOK_H_
#define DCP_C_API_COMMIT_HOOK_H_

#include <memory>

#include "c_api/handle.h"
#include "ranklocal/rank_writer.h"

struct dcp_commit_hook : dcp::c_api::Handle {
  explicit dcp_commit_hook(std::shared_ptr<dcp::CommitHook> of) : hook(std::move(of)) {}
  std::shared_ptr<dcp::CommitHook> hook;
};

#endif  // DCP_C_API_COMMIT_HOOK_H_
