// A file that appears under its name only when it is whole.
#ifndef DCP_CLI_OUTPUT_FILE_H_
#define DCP_CLI_OUTPUT_FILE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "cli/handles.h"

namespace dcp::cli {

// Writes the parts one after the other to `path`, by way of a temporary file beside it; "-" is
// standard output.
Failure WriteOutput(const std::string& path, std::string_view first, std::string_view second);

}  // namespace dcp::cli

#endif  // DCP_CLI_OUTPUT_FILE_H_
