// Text for people: names that cannot harm a terminal, sizes, shapes.
#ifndef DCP_CLI_TEXT_H_
#define DCP_CLI_TEXT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dcp::cli {

// Control characters, bytes that are not UTF-8, characters that reorder text, and the backslash
// itself become \xHH, one for each byte. Unescape() is its inverse.
std::string Escape(std::string_view bytes);
// Empty when a backslash is not followed by x and two hex digits.
std::optional<std::string> Unescape(std::string_view text);

bool IsUtf8(std::string_view bytes);
std::string Hex(std::string_view bytes);

std::string HumanBytes(uint64_t bytes);                    // "1.5 KiB"
std::string HumanDuration(double seconds);                 // "0:07", "1:02:30"
std::string ShapeText(std::span<const int64_t> shape);     // "[33, 12]"
std::string Count(uint64_t count, std::string_view noun);  // "1 file", "2 files"

// Columns a terminal needs for UTF-8 text; East Asian wide characters count as one.
size_t Columns(std::string_view text);

}  // namespace dcp::cli

#endif  // DCP_CLI_TEXT_H_
