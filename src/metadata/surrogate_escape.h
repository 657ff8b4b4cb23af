// Paths as Python holds them in text.
#ifndef DCP_METADATA_SURROGATE_ESCAPE_H_
#define DCP_METADATA_SURROGATE_ESCAPE_H_

#include <string>
#include <string_view>

namespace dcp {

// Bytes that are no text become lone surrogates, as Python's os.fsdecode() does.
std::string SurrogateEscape(std::string_view path);

}  // namespace dcp

#endif  // DCP_METADATA_SURROGATE_ESCAPE_H_
