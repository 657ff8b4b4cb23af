// Elements of a tensor as text.
#ifndef DCP_CLI_TENSOR_TEXT_H_
#define DCP_CLI_TENSOR_TEXT_H_

#include <cstdint>
#include <span>
#include <string>

#include "cli/json.h"

namespace dcp::cli {

inline constexpr uint64_t kMaxPrintedElements = 1000;

// The dtype to read `dtype` as for printing, so that no value changes: float32 for the small
// floats, int64 for the integers. The same dtype when elements print as bytes.
int32_t PrintedDtype(int32_t dtype);

// Nested brackets, a line for each row. `data` holds row-major elements of PrintedDtype(dtype).
std::string TensorText(int32_t dtype, std::span<const int64_t> shape, const void* data);

// Nested arrays of numbers; what JSON lacks as in value_json.h, bytes as text in hexadecimal.
Json TensorJson(int32_t dtype, std::span<const int64_t> shape, const void* data);

}  // namespace dcp::cli

#endif  // DCP_CLI_TENSOR_TEXT_H_
