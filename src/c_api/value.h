#ifndef DCP_C_API_VALUE_H_
#define DCP_C_API_VALUE_H_

#include "c_api/handle.h"
#include "value/value.h"

struct dcp_value : dcp::c_api::Handle {
  explicit dcp_value(dcp::ValuePtr of) : value(std::move(of)) {}
  dcp::ValuePtr value;
};

#endif  // DCP_C_API_VALUE_H_
