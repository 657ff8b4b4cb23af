#include "value/names.h"

#include <cstdint>
#include <cstring>

#include "value/wtf8.h"

namespace dcp {
namespace {

constexpr size_t kMaxPrinted = 200;

// Characters that change how a terminal shows what stands around them.
bool IsSpecial(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000) ||
         (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

}  // namespace

size_t DecodeWtf8(std::string_view text, uint32_t* code) {
  if (text.empty()) return 0;
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) {
    *code = lead;
    return 1;
  }
  size_t length;
  uint32_t value;
  uint32_t least;
  if (lead >= 0xc2 && lead < 0xe0) {
    length = 2, value = lead & 0x1fu, least = 0x80;
  } else if (lead >= 0xe0 && lead < 0xf0) {
    length = 3, value = lead & 0x0fu, least = 0x800;
  } else if (lead >= 0xf0 && lead < 0xf5) {
    length = 4, value = lead & 0x07u, least = 0x10000;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
    value = value << 6 | (static_cast<uint8_t>(text[i]) & 0x3fu);
  }
  if (value < least || value > 0x10ffff) return 0;
  *code = value;
  return length;
}

void AppendPrintable(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  while (!text.empty()) {
    uint32_t code = 0;
    const size_t length = DecodeWtf8(text, &code);
    if (length > 0 && !IsSpecial(code)) {
      out->append(text.substr(0, length));
      text.remove_prefix(length);
      continue;
    }
    for (size_t i = 0; i < (length > 0 ? length : 1); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      out->append("\\x");
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
    }
    text.remove_prefix(length > 0 ? length : 1);
  }
}

std::string PrintableName(std::string_view name) {
  std::string out;
  if (name.size() <= kMaxPrinted) {
    AppendPrintable(name, &out);
    return out;
  }
  size_t head = kMaxPrinted / 2;
  size_t tail = name.size() - kMaxPrinted / 2;
  for (int i = 0; i < 3 && IsContinuation(name[head]); ++i) --head;
  for (int i = 0; i < 3 && IsContinuation(name[tail]); ++i) ++tail;
  AppendPrintable(name.substr(0, head), &out);
  out.append("...");
  AppendPrintable(name.substr(tail), &out);
  return out;
}

bool IsWtf8(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    if (end - at >= 8) {
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    if (static_cast<uint8_t>(*at) < 0x80) {
      ++at;
      continue;
    }
    uint32_t code;
    const size_t length = DecodeWtf8({at, static_cast<size_t>(end - at)}, &code);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

}  // namespace dcp
