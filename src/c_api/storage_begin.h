// How a save or load begins with a storage of the caller's: its id is looked at, then it is reset.
#ifndef DCP_C_API_STORAGE_BEGIN_H_
#define DCP_C_API_STORAGE_BEGIN_H_

#include "c_api/roles.h"

namespace dcp::c_api {

// `kind`: "storage writer", "storage reader". `checkpoint_id`: empty when none was given; no
// storage is asked about that.
template <typename Table>
Status BeginStorage(const Role<Table>& role, const std::string& checkpoint_id,
                    const std::string& kind) {
  const char* id = checkpoint_id.empty() ? nullptr : checkpoint_id.c_str();
  dcp_error* error = nullptr;
  if (id != nullptr && role.table.validate_id != nullptr) {
    int32_t valid = 1;
    const dcp_status code = role.table.validate_id(role.user(), id, &valid, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, (kind + " validate_id").c_str()));
    if (valid == 0) {
      return Error(Code::kInvalidArgument,
                   "'{}' is no checkpoint id for the {} of '{}': give one that it takes, or none",
                   id, kind, role.location);
    }
  }
  if (role.table.reset == nullptr) return Status::Ok();
  error = nullptr;
  const dcp_status code = role.table.reset(role.user(), id, &error);
  return FromCallback(code, error, (kind + " reset").c_str());
}

}  // namespace dcp::c_api

#endif  // DCP_C_API_STORAGE_BEGIN_H_
