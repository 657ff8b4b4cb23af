// MPI's error codes as dcp.h's errors.
#ifndef DCP_MPI_FAILURE_H_
#define DCP_MPI_FAILURE_H_

#include <mpi.h>

#include <string>

#include "dcp.h"

namespace dcp_mpi {

inline dcp_status Fail(dcp_status status, const std::string& message, dcp_error** error) {
  if (error != nullptr) *error = dcp_error_new(status, message.c_str());
  return status;
}

// DCP_OK for MPI_SUCCESS; `call` names the function.
inline dcp_status Check(int code, const char* call, dcp_error** error) {
  if (code == MPI_SUCCESS) return DCP_OK;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return Fail(DCP_IO, std::string(call) + ": " + text, error);
}

}  // namespace dcp_mpi

#endif  // DCP_MPI_FAILURE_H_
