#include "comm/wire_codec.h"

#include <algorithm>

namespace dcp {
namespace {

// How much longer than their message names may be together: far more than real ones are.
constexpr uint64_t kExpansion = 256;
constexpr uint64_t kExpansionBase = 65536;

}  // namespace

void WireWriter::Number(uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<char>(value));
}

void WireWriter::Signed(int64_t value) {
  Number((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

void WireWriter::Text(std::string_view text) {
  Number(text.size());
  out_.append(text);
}

void WireWriter::Name(std::string_view name) {
  size_t limit = std::min(name.size(), previous_.size());
  size_t shared = 0;
  while (shared < limit && name[shared] == previous_[shared]) ++shared;
  size_t same_end = 0;
  while (same_end < limit - shared &&
         name[name.size() - 1 - same_end] == previous_[previous_.size() - 1 - same_end]) {
    ++same_end;
  }
  Number(shared);
  Number(same_end);
  Text(name.substr(shared, name.size() - shared - same_end));
  previous_ = name;
}

WireReader::WireReader(std::string_view bytes)
    : rest_(bytes), budget_(bytes.size() * kExpansion + kExpansionBase) {}

uint64_t WireReader::LongNumber(uint64_t max) {
  uint64_t value = 0;
  for (int shift = 0; ok_ && shift < 64; shift += 7) {
    if (rest_.empty()) break;
    uint64_t byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    if (value > max) break;
    return value;
  }
  ok_ = false;
  return 0;
}

size_t WireReader::Count(size_t element_size) {
  return static_cast<size_t>(Number(rest_.size() / element_size));
}

std::string_view WireReader::TextView() {
  size_t size = Count();
  if (!ok_ || size > rest_.size()) {
    ok_ = false;
    return "";
  }
  const std::string_view text = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return text;
}

std::string WireReader::Name() {
  uint64_t shared = Number(previous_.size());
  uint64_t same_end = Number(previous_.size() - (ok_ ? shared : 0));
  std::string_view middle = TextView();
  if (!ok_ || shared + middle.size() + same_end > budget_) {
    ok_ = false;
    return "";
  }
  budget_ -= shared + middle.size() + same_end;
  previous_.replace(shared, previous_.size() - shared - same_end, middle);
  return previous_;
}

}  // namespace dcp
