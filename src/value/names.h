// Names of tensors hold any bytes: UTF-8 with lone surrogates and NUL allowed, empty too.
#ifndef DCP_VALUE_NAMES_H_
#define DCP_VALUE_NAMES_H_

#include <string>
#include <string_view>

namespace dcp {

// Safe for terminals and messages: control bytes, lone surrogates and invalid UTF-8 escaped as
// \xNN, long names cut in the middle at about 200 bytes.
std::string PrintableName(std::string_view name);
// True for UTF-8 in which surrogates U+D800..U+DFFF may appear as three bytes, the form that
// pickle's unicode opcodes carry ("surrogatepass").
bool IsWtf8(std::string_view text);

}  // namespace dcp

#endif  // DCP_VALUE_NAMES_H_
