// "0:10,:,-1" against a shape, by numpy's rules with positive steps.
#ifndef DCP_CLI_SLICE_H_
#define DCP_CLI_SLICE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dcp::cli {

struct Slice {
  std::vector<int64_t> offsets;  // one a dimension of the tensor
  std::vector<int64_t> steps;
  std::vector<int64_t> sizes;
  std::vector<int64_t> shape;  // of the result: dimensions taken by an index are gone
};

// Parts separated by commas: an index, start:stop:step with each number optional, or "..." once.
// What is not given is whole; an empty `text` is everything. False, with the reason in *error,
// when it cannot be read or an index is outside.
bool ParseSlice(std::string_view text, std::span<const int64_t> shape, Slice* out,
                std::string* error);

}  // namespace dcp::cli

#endif  // DCP_CLI_SLICE_H_
