#include "checkpoint/plan_cache_wire.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "checkpoint/wire.h"
#include "comm/wire_codec.h"

namespace dcp {
namespace {

constexpr size_t kShort = 8;  // bytes of storage_data within a message of 32
constexpr size_t kMessage = 32;
constexpr uint8_t kSame = 0x80;  // and the size of a short storage_data
constexpr uint8_t kSameLong = 0x80 + kShort + 1;
constexpr uint8_t kWhole = 0x90;
constexpr uint8_t kTellWhole = 0xa0;
constexpr uint8_t kWait = 0xa1;
constexpr uint8_t kSamePlacement = 0xb0;
constexpr size_t kSaveId = 16;

uint8_t First(std::string_view bytes) { return bytes.empty() ? 0 : static_cast<uint8_t>(bytes[0]); }

std::string Opened(uint8_t first) { return std::string(1, static_cast<char>(first)); }

template <size_t kSize>
std::array<std::byte, kSize> Take(std::string_view* bytes) {
  std::array<std::byte, kSize> out;
  std::memcpy(out.data(), bytes->data(), kSize);
  bytes->remove_prefix(kSize);
  return out;
}

void AppendPadded(std::string_view text, std::string* out) {
  out->append(text);
  out->append(kShort - text.size(), '\0');
}

constexpr size_t kDashes[] = {8, 13, 18, 23};

// The 16 bytes of "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", in lower case.
std::optional<std::string> PackSaveId(std::string_view text) {
  if (text.size() != 2 * kSaveId + std::size(kDashes)) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (std::find(std::begin(kDashes), std::end(kDashes), i) != std::end(kDashes)) {
      if (text[i++] != '-') return std::nullopt;
      continue;
    }
    const bool lower =
        text.substr(i, 2).find_first_not_of("0123456789abcdef") == std::string_view::npos;
    uint8_t value = 0;
    if (!lower) return std::nullopt;
    std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return out;
}

std::string UnpackSaveId(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    if (std::find(std::begin(kDashes), std::end(kDashes), out.size()) != std::end(kDashes)) {
      out += '-';
    }
    out += fmt::format("{:02x}", static_cast<uint8_t>(c));
  }
  return out;
}

Status Malformed() { return MalformedMessage("a message of its plan cache"); }

// What follows the first byte of a message whose storage_data is short. False: zeros are missing.
bool TakeShort(uint8_t size, std::string_view* bytes, std::string_view* out) {
  const std::string_view padded = bytes->substr(0, kShort);
  bytes->remove_prefix(kShort);
  *out = padded.substr(0, size);
  return padded.find_first_not_of('\0', size) == std::string_view::npos;
}

}  // namespace

std::string EncodeSamePlan(const PlanKey& key, std::string_view storage_data) {
  const bool is_short = storage_data.size() <= kShort;
  std::string out =
      Opened(is_short ? kSame + static_cast<uint8_t>(storage_data.size()) : kSameLong);
  if (is_short) AppendPadded(storage_data, &out);
  out.append(AsText(key));
  if (!is_short) out.append(storage_data);
  return out;
}

std::string EncodeWholePlan(std::string_view plan, std::string_view storage_data) {
  WireWriter text;
  text.Text(storage_data);
  return Opened(kWhole) + text.Take().append(plan);
}

Result<ToldPlan> DecodeToldPlan(std::string_view bytes) {
  const uint8_t first = First(bytes);
  ToldPlan told;
  if (first == kWhole) {
    WireReader in(bytes.substr(1));
    told.storage_data = in.TextView();
    if (!in.ok()) return Malformed();
    told.plan = bytes.substr(static_cast<size_t>(told.storage_data.end() - bytes.begin()));
    if (told.plan.empty()) return Malformed();
    return told;
  }
  if (first >= kSame && first <= kSame + kShort && bytes.size() == kMessage) {
    bytes.remove_prefix(1);
    if (!TakeShort(first - kSame, &bytes, &told.storage_data)) return Malformed();
    told.key = Take<sizeof(PlanKey)>(&bytes);
    return told;
  }
  if (first == kSameLong && bytes.size() > 1 + sizeof(PlanKey) + kShort) {
    bytes.remove_prefix(1);
    told.key = Take<sizeof(PlanKey)>(&bytes);
    told.storage_data = bytes;
    return told;
  }
  return Malformed();
}

std::optional<std::string> EncodeSameAssignment(const PlanKey& key, std::string_view save_id,
                                                std::string_view storage_data) {
  const std::optional<std::string> packed = PackSaveId(save_id);
  if (!packed || storage_data.size() > kShort) return std::nullopt;
  std::string out = Opened(kSame + static_cast<uint8_t>(storage_data.size()));
  AppendPadded(storage_data, &out);
  out.append(*packed);
  out.append(AsText(key).substr(0, kMessage - out.size()));
  return out;
}

std::string EncodeAsk(bool you) { return Opened(you ? kTellWhole : kWait); }

Result<ToldAssignment> DecodeToldAssignment(std::string_view bytes) {
  const uint8_t first = First(bytes);
  ToldAssignment told;
  if (first < kSame) {
    told.kind = ToldKind::kAssignment;
  } else if ((first == kTellWhole || first == kWait) && bytes.size() == 1) {
    told.kind = first == kTellWhole ? ToldKind::kTellWhole : ToldKind::kWait;
  } else if (first <= kSame + kShort && bytes.size() == kMessage) {
    told.kind = ToldKind::kSame;
    bytes.remove_prefix(1);
    std::string_view storage_data;
    if (!TakeShort(first - kSame, &bytes, &storage_data)) return Malformed();
    told.storage_data = storage_data;
    told.save_id = UnpackSaveId(bytes.substr(0, kSaveId));
    bytes.remove_prefix(kSaveId);
    told.key = Take<sizeof told.key>(&bytes);
  } else {
    return Malformed();
  }
  return told;
}

std::optional<std::string> EncodeSamePlacement(const PlanKey& key, std::string_view save_id,
                                               std::span<const uint32_t> crc32) {
  const std::optional<std::string> packed = PackSaveId(save_id);
  if (!packed) return std::nullopt;
  std::string out = Opened(kSamePlacement);
  out.append(*packed);
  out.append(AsText(key).substr(0, kMessage - out.size()));
  out.append(AsText(std::as_bytes(crc32)));
  return out;
}

Result<std::optional<ToldPlacement>> DecodeToldPlacement(std::string_view bytes) {
  if (First(bytes) < kSame) return std::optional<ToldPlacement>();
  if (First(bytes) != kSamePlacement || bytes.size() < kMessage ||
      (bytes.size() - kMessage) % sizeof(uint32_t) != 0) {
    return Malformed();
  }
  bytes.remove_prefix(1);
  ToldPlacement told;
  told.save_id = UnpackSaveId(bytes.substr(0, kSaveId));
  bytes.remove_prefix(kSaveId);
  told.key = Take<sizeof told.key>(&bytes);
  told.crc32 = bytes;
  return std::optional(told);
}

}  // namespace dcp
