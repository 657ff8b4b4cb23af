#include "comm/message_bytes.h"

#include "base/bytes.h"

namespace dcp {
namespace {

constexpr std::string_view kMagic = "DM";
constexpr size_t kSuffix = 12;

}  // namespace

std::string EncodeMessage(Message message) {
  std::string bytes = std::move(message.body);
  bytes.reserve(bytes.size() + kSuffix);
  bytes += kMagic;
  bytes += static_cast<char>(message.operation);
  bytes += static_cast<char>(message.kind);
  AppendLe<uint64_t>(bytes, message.sequence);
  return bytes;
}

std::optional<Message> DecodeMessage(std::string bytes) {
  if (bytes.size() < kSuffix) return std::nullopt;
  const std::string_view suffix = std::string_view(bytes).substr(bytes.size() - kSuffix);
  const auto kind = static_cast<uint8_t>(suffix[3]);
  if (!suffix.starts_with(kMagic) || kind > static_cast<uint8_t>(Message::Kind::kStillHere)) {
    return std::nullopt;
  }
  Message message;
  message.operation = static_cast<uint8_t>(suffix[2]);
  message.kind = static_cast<Message::Kind>(kind);
  message.sequence = LoadLe<uint64_t>(AsBytes(suffix).data() + 4);
  bytes.resize(bytes.size() - kSuffix);
  message.body = std::move(bytes);
  return message;
}

std::string EncodeSize(uint64_t size) {
  std::string bytes;
  AppendLe<uint64_t>(bytes, size);
  return bytes;
}

bool DecodeSize(std::string_view bytes, uint64_t* size) {
  if (bytes.size() < kSizeBytes) return false;
  *size = LoadLe<uint64_t>(AsBytes(bytes).data());
  return true;
}

}  // namespace dcp
