#include "pickle/text.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

namespace dcp::pickle {
namespace {

std::string_view Stripped(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The first `digits` characters as a hexadecimal number.
std::optional<uint32_t> Hex(std::string_view text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = HexDigit(text[i]);
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  return value;
}

void AppendUtf8(uint32_t code, std::string* out) {
  auto tail = [&](unsigned shift) {
    out->push_back(static_cast<char>(0x80 | (code >> shift & 0x3f)));
  };
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | code >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xf0 | code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

// Length of the multi-byte character at the start of `text`, 0 when it is malformed.
size_t MultiByteLength(std::string_view text) {
  auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  auto tail = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return i < text.size() && at(i) >= low && at(i) <= high;
  };
  const uint8_t lead = at(0);
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    return tail(1, lead == 0xe0 ? 0xa0 : 0x80) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    return tail(1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf) && tail(2) && tail(3)
               ? 4
               : 0;
  }
  return 0;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    if (text.size() >= 8) {
      uint64_t word;
      std::memcpy(&word, text.data(), sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        text.remove_prefix(8);
        continue;
      }
    }
    if (static_cast<uint8_t>(text[0]) < 0x80) {
      text.remove_prefix(1);
      continue;
    }
    const size_t length = MultiByteLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string_view ShortestInteger(std::string_view bytes) {
  auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  size_t size = bytes.size();
  while (size > 1 && ((at(size - 1) == 0x00 && at(size - 2) < 0x80) ||
                      (at(size - 1) == 0xff && at(size - 2) >= 0x80))) {
    --size;
  }
  if (size == 1 && at(0) == 0) size = 0;
  return bytes.substr(0, size);
}

std::optional<std::string> DecodeDecimal(std::string_view text) {
  text = Stripped(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  constexpr size_t kGroup = 9;
  std::vector<uint32_t> limbs;  // little-endian magnitude
  while (!text.empty()) {
    const std::string_view digits = text.substr(0, kGroup);
    uint32_t scale = 1;
    uint32_t value = 0;
    for (char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + static_cast<uint32_t>(c - '0');
      scale *= 10;
    }
    uint64_t carry = value;
    for (uint32_t& limb : limbs) {
      carry += uint64_t{limb} * scale;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs.push_back(static_cast<uint32_t>(carry));
    text.remove_prefix(digits.size());
  }
  limbs.push_back(0);  // room for the sign
  if (negative) {
    uint64_t carry = 1;
    for (uint32_t& limb : limbs) {
      carry += static_cast<uint32_t>(~limb);
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }
  std::string bytes(limbs.size() * sizeof(uint32_t), '\0');
  std::memcpy(bytes.data(), limbs.data(), bytes.size());
  bytes.resize(ShortestInteger(bytes).size());
  return bytes;
}

std::optional<double> DecodeFloat(std::string_view text) {
  text = Stripped(text);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> DecodeEscapes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t plain = std::min(text.find('\\'), text.size());
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (text.size() == 1) return std::nullopt;
    const char c = text[1];
    text.remove_prefix(2);
    switch (c) {
      case '\n':
        break;
      case '\\':
      case '\'':
      case '"':
        out.push_back(c);
        break;
      case 'a':
        out.push_back('\a');
        break;
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'v':
        out.push_back('\v');
        break;
      case 'x': {
        const std::optional<uint32_t> value = Hex(text, 2);
        if (!value) return std::nullopt;
        out.push_back(static_cast<char>(*value));
        text.remove_prefix(2);
        break;
      }
      default:
        if (c < '0' || c > '7') {
          out.push_back('\\');
          out.push_back(c);
          break;
        }
        uint32_t value = static_cast<uint32_t>(c - '0');
        for (int i = 0; i < 2 && !text.empty() && text[0] >= '0' && text[0] <= '7'; ++i) {
          value = value << 3 | static_cast<uint32_t>(text[0] - '0');
          text.remove_prefix(1);
        }
        out.push_back(static_cast<char>(value));
    }
  }
  return out;
}

std::optional<std::string> DecodeRawUnicode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto c = static_cast<uint8_t>(text[0]);
    text.remove_prefix(1);
    if (c != '\\' || text.empty()) {
      AppendUtf8(c, &out);
      continue;
    }
    const char next = text[0];
    text.remove_prefix(1);
    if (next != 'u' && next != 'U') {
      out.push_back('\\');
      AppendUtf8(static_cast<uint8_t>(next), &out);
      continue;
    }
    const size_t digits = next == 'u' ? 4 : 8;
    const std::optional<uint32_t> code = Hex(text, digits);
    if (!code || *code > 0x10ffff) return std::nullopt;
    AppendUtf8(*code, &out);
    text.remove_prefix(digits);
  }
  return out;
}

}  // namespace dcp::pickle
