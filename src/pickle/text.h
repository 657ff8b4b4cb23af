// What the text opcodes of protocols 0 and 1 carry, decoded as Python's unpickler does.
#ifndef DCP_PICKLE_TEXT_H_
#define DCP_PICKLE_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dcp::pickle {

// Python's own limit for decimal digits of an integer, which keeps conversion time in bounds.
inline constexpr size_t kMaxDigits = 4300;

// UTF-8 in which surrogates may stand (Python's "surrogatepass").
bool IsUtf8(std::string_view text);

// The shortest two's complement of the same value: little-endian, 0 is empty.
std::string_view ShortestInteger(std::string_view twos_complement);
// A decimal integer, with sign and surrounding blanks allowed, as little-endian two's complement
// in its shortest form. At most kMaxDigits digits, which the caller has checked.
std::optional<std::string> DecodeDecimal(std::string_view text);
std::optional<double> DecodeFloat(std::string_view text);
// The inside of a quoted string: \n, \x41, \101 and the like.
std::optional<std::string> DecodeEscapes(std::string_view text);
// Latin-1 with \uXXXX and \UXXXXXXXX, to UTF-8.
std::optional<std::string> DecodeRawUnicode(std::string_view text);

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_TEXT_H_
