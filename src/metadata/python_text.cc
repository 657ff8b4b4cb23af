#include "metadata/python_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace dcp {
namespace {

constexpr size_t kMaxDigits = 4300;

// Shortest digits that read back as the same number: d.ddde[+-]xx taken apart.
struct Decimal {
  std::string digits;
  int exponent = 0;  // of the first digit
};

Decimal Shortest(double magnitude) {
  char buffer[64];
  auto end =
      std::to_chars(buffer, buffer + sizeof buffer, magnitude, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  size_t e = text.find('e');
  Decimal out;
  for (char c : text.substr(0, e)) {
    if (c != '.') out.digits.push_back(c);
  }
  out.exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  return out;
}

}  // namespace

std::string PythonFloatText(double value) {
  if (std::isnan(value)) return "nan";
  const char* sign = std::signbit(value) ? "-" : "";
  if (std::isinf(value)) return fmt::format("{}inf", sign);
  if (value == 0) return fmt::format("{}0.0", sign);
  Decimal decimal = Shortest(std::fabs(value));
  std::string_view digits = decimal.digits;
  int exponent = decimal.exponent;
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}{}{}{}e{}{:02}", sign, digits.substr(0, 1), digits.size() > 1 ? "." : "",
                       digits.substr(1), exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return fmt::format("{}0.{:0>{}}{}", sign, "", -exponent - 1, digits);
  size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return fmt::format("{}{:0<{}}.0", sign, digits, whole);
  return fmt::format("{}{}.{}", sign, digits.substr(0, whole), digits.substr(whole));
}

Result<std::string> PythonIntText(std::string_view twos_complement) {
  // 4300 digits are fewer than 1800 bytes.
  if (twos_complement.size() > 1800) {
    return Error(Code::kLimit, "an integer of {} bytes has more than {} digits",
                 twos_complement.size(), kMaxDigits);
  }
  bool negative = !twos_complement.empty() && (twos_complement.back() & 0x80) != 0;
  std::vector<uint32_t> magnitude((twos_complement.size() + 3) / 4, 0);
  uint32_t carry = 1;
  for (size_t i = 0; i < twos_complement.size(); ++i) {
    uint32_t byte = static_cast<unsigned char>(twos_complement[i]);
    if (negative) {
      byte = (byte ^ 0xff) + carry;
      carry = byte >> 8;
      byte &= 0xff;
    }
    magnitude[i / 4] |= byte << (i % 4 * 8);
  }
  std::string out;  // backwards
  while (!magnitude.empty()) {
    uint64_t rest = 0;
    for (size_t i = magnitude.size(); i-- > 0;) {
      rest = rest << 32 | magnitude[i];
      magnitude[i] = static_cast<uint32_t>(rest / 1000000000);
      rest %= 1000000000;
    }
    while (!magnitude.empty() && magnitude.back() == 0) magnitude.pop_back();
    for (int d = 0; d < 9; ++d, rest /= 10) out.push_back(static_cast<char>('0' + rest % 10));
  }
  while (!out.empty() && out.back() == '0') out.pop_back();
  if (out.size() > kMaxDigits) {
    return Error(Code::kLimit, "an integer has more than {} digits", kMaxDigits);
  }
  if (out.empty()) return std::string("0");
  if (negative) out.push_back('-');
  std::reverse(out.begin(), out.end());
  return out;
}

Result<std::string> KeyText(const Value& key) {
  switch (key.kind) {
    case ValueKind::kString:
      return key.text;
    case ValueKind::kInt:
      return PythonIntText(key.text);
    case ValueKind::kBool:
      return std::string(key.boolean ? "True" : "False");
    case ValueKind::kNone:
      return std::string("None");
    case ValueKind::kFloat:
      return PythonFloatText(key.real);
    default:
      return Error(Code::kInvalidArgument,
                   "a mapping's key is {}: keys must be strings, integers, floats, bools or None",
                   ToString(key));
  }
}

}  // namespace dcp
