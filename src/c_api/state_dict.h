#ifndef DCP_C_API_STATE_DICT_H_
#define DCP_C_API_STATE_DICT_H_

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "c_api/handle.h"
#include "value/value.h"

struct dcp_state_dict : dcp::c_api::Handle {
  std::vector<std::pair<std::string, dcp::ValuePtr>> entries;
  std::unordered_map<std::string, size_t> index;

  dcp::ValuePtr ToValue() const;  // a dict
};

#endif  // DCP_C_API_STATE_DICT_H_
