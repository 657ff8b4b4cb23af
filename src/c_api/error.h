#ifndef DCP_C_API_ERROR_H_
#define DCP_C_API_ERROR_H_

#include <memory>
#include <vector>

#include "c_api/handle.h"

struct dcp_error : dcp::c_api::Handle {
  explicit dcp_error(dcp::Status of);
  dcp::Status status;
  std::vector<std::unique_ptr<dcp_error>> ranks;
};

#endif  // DCP_C_API_ERROR_H_
