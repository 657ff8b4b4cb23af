// Bytes as protocol 2 carries them: a string whose code points are the bytes.
#ifndef DCP_TENSORIO_LATIN1_H_
#define DCP_TENSORIO_LATIN1_H_

#include <optional>
#include <string>
#include <string_view>

namespace dcp {

// The bytes behind UTF-8 `text`; nothing when it has a code point above 255.
inline std::optional<std::string> EncodeLatin1(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes.push_back(text[i]);
      continue;
    }
    if ((lead != 0xc2 && lead != 0xc3) || i + 1 == text.size()) return std::nullopt;
    const auto next = static_cast<unsigned char>(text[++i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    bytes.push_back(static_cast<char>((lead & 3) << 6 | (next & 0x3f)));
  }
  return bytes;
}

}  // namespace dcp

#endif  // DCP_TENSORIO_LATIN1_H_
