// The names and values a caller has put together; also the value they make.
#ifndef DCP_C_API_STATE_DICT_H_
#define DCP_C_API_STATE_DICT_H_

#include <atomic>
#include <memory>
#include <string_view>

#include "c_api/handle.h"
#include "metadata/id_table.h"
#include "value/value.h"

struct dcp_state_dict : dcp::c_api::Handle {
 public:
  dcp_state_dict() { dict_->kind = dcp::ValueKind::kDict; }

  const auto& entries() const { return dict_->entries; }  // keys are texts
  void Set(std::string_view name, dcp::ValuePtr value);
  // The dict as it is now, whatever is set later.
  dcp::ValuePtr ToValue() const;

 private:
  std::shared_ptr<dcp::Value> dict_ = std::make_shared<dcp::Value>();
  dcp::IdTable index_;                        // of the entries, by key
  mutable std::atomic<bool> shared_ = false;  // then it must be copied before it is changed
};

#endif  // DCP_C_API_STATE_DICT_H_
