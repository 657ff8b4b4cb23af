// Constants of the zip format (PKWARE APPNOTE 6.3) shared by the reader and the writer.
#ifndef DCP_ZIP_FORMAT_H_
#define DCP_ZIP_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace dcp::zip {

inline constexpr uint32_t kLocalSignature = 0x04034b50;
inline constexpr uint32_t kDescriptorSignature = 0x08074b50;
inline constexpr uint32_t kDirectorySignature = 0x02014b50;
inline constexpr uint32_t kEndSignature = 0x06054b50;
inline constexpr uint32_t kEnd64Signature = 0x06064b50;
inline constexpr uint32_t kLocator64Signature = 0x07064b50;

// Sizes of the fixed parts, in bytes.
inline constexpr size_t kLocalSize = 30;
inline constexpr size_t kDirectorySize = 46;
inline constexpr size_t kDirectoryCrc = 16;  // of the CRC in an entry of the directory
inline constexpr size_t kEndSize = 22;
inline constexpr size_t kEnd64Size = 56;
inline constexpr size_t kLocator64Size = 20;

inline constexpr uint16_t kFlagEncrypted = 1u << 0;
inline constexpr uint16_t kFlagDescriptor = 1u << 3;
inline constexpr uint16_t kFlagPatch = 1u << 5;
inline constexpr uint16_t kFlagStrongEncryption = 1u << 6;
inline constexpr uint16_t kFlagUtf8 = 1u << 11;
inline constexpr uint16_t kFlagMasked = 1u << 13;

inline constexpr uint16_t kStored = 0;
inline constexpr uint16_t kDeflated = 8;

inline constexpr uint16_t kExtraZip64 = 0x0001;
inline constexpr uint32_t kMax32 = 0xffffffff;  // "see the ZIP64 field"
inline constexpr uint16_t kMax16 = 0xffff;

}  // namespace dcp::zip

#endif  // DCP_ZIP_FORMAT_H_
