// Byte spans and little-endian access. Every file format here is little-endian.
#ifndef DCP_BASE_BYTES_H_
#define DCP_BASE_BYTES_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace dcp {

static_assert(std::endian::native == std::endian::little, "libdcp supports little-endian hosts");

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline Bytes AsBytes(const void* data, size_t size) {
  return {static_cast<const std::byte*>(data), size};
}
inline std::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Unaligned little-endian load; the caller has checked that sizeof(T) bytes are there.
template <typename T>
T LoadLe(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void StoreLe(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

template <typename T>
void AppendLe(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// False when the result does not fit; *out is then unspecified.
template <typename T>
[[nodiscard]] bool CheckedAdd(T a, T b, T* out) {
  return !__builtin_add_overflow(a, b, out);
}
template <typename T>
[[nodiscard]] bool CheckedMul(T a, T b, T* out) {
  return !__builtin_mul_overflow(a, b, out);
}

}  // namespace dcp

#endif  // DCP_BASE_BYTES_H_
