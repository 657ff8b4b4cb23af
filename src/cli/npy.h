// numpy's .npy format, version 1.0.
#ifndef DCP_CLI_NPY_H_
#define DCP_CLI_NPY_H_

#include <cstdint>
#include <span>
#include <string>

namespace dcp::cli {

struct NpyHeader {
  std::string bytes;  // everything in front of the elements
  bool raw = false;   // numpy lacks the dtype: uint8, with a last dimension of bytes an element
};

NpyHeader MakeNpyHeader(int32_t dtype, std::span<const int64_t> shape);

}  // namespace dcp::cli

#endif  // DCP_CLI_NPY_H_
