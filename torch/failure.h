// Exceptions of libtorch as dcp.h's errors.
#ifndef DCP_TORCH_FAILURE_H_
#define DCP_TORCH_FAILURE_H_

#include <exception>
#include <new>
#include <string>

#include "dcp.h"

namespace dcp_torch {

inline dcp_status Fail(dcp_status status, const std::string& message, dcp_error** error) {
  if (error != nullptr) *error = dcp_error_new(status, message.c_str());
  return status;
}

// Without the stack that c10 writes behind it.
inline std::string FirstLine(const std::exception& problem) {
  const std::string text = problem.what();
  return text.substr(0, text.find('\n'));
}

// Runs `body`, which returns a dcp_status: nothing unwinds out of the library.
template <typename Body>
dcp_status Guard(dcp_error** error, const Body& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return DCP_OUT_OF_MEMORY;
  } catch (const std::exception& problem) {
    try {
      return Fail(DCP_IO, FirstLine(problem), error);
    } catch (...) {
      return DCP_OUT_OF_MEMORY;
    }
  } catch (...) {
    return DCP_INTERNAL;
  }
}

}  // namespace dcp_torch

#endif  // DCP_TORCH_FAILURE_H_
