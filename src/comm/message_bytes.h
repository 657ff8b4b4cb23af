// A message as bytes, for media that carry bytes.
#ifndef DCP_COMM_MESSAGE_BYTES_H_
#define DCP_COMM_MESSAGE_BYTES_H_

#include <optional>
#include <string>
#include <string_view>

#include "comm/transport.h"

namespace dcp {

// The body, and behind it 12 bytes: "DM", operation, kind, u64 sequence; little-endian.
std::string EncodeMessage(Message message);
// Nothing for what is no message.
std::optional<Message> DecodeMessage(std::string bytes);

// A length in front of what is cut into parts.
inline constexpr size_t kSizeBytes = 8;
std::string EncodeSize(uint64_t size);
bool DecodeSize(std::string_view bytes, uint64_t* size);

}  // namespace dcp

#endif  // DCP_COMM_MESSAGE_BYTES_H_
