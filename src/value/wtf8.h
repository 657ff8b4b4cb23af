// Characters of UTF-8 in which lone surrogates may stand, for names and messages.
#ifndef DCP_VALUE_WTF8_H_
#define DCP_VALUE_WTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dcp {

// Bytes of the character at the start of `text`, and its code point; 0 when there is none.
size_t DecodeWtf8(std::string_view text, uint32_t* code);
// Appends all of `text` with what PrintableName escapes escaped.
void AppendPrintable(std::string_view text, std::string* out);

}  // namespace dcp

#endif  // DCP_VALUE_WTF8_H_
