// Element types of torch, as a stable enumeration (dcp.h exposes the same numbers).
#ifndef DCP_BASE_DTYPE_H_
#define DCP_BASE_DTYPE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace dcp {

// Append only: the numbers are part of the C ABI.
enum class DType : int32_t {
  kFloat32 = 1,
  kFloat64 = 2,
  kFloat16 = 3,
  kBFloat16 = 4,
  kInt8 = 5,
  kInt16 = 6,
  kInt32 = 7,
  kInt64 = 8,
  kUInt8 = 9,
  kBool = 10,
  kComplex64 = 11,
  kComplex128 = 12,
  kComplex32 = 13,
  kUInt16 = 14,
  kUInt32 = 15,
  kUInt64 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kFloat8E8M0FNU = 21,
  kFloat4E2M1FNx2 = 22,
  kBits8 = 23,
  kBits16 = 24,
  kBits1x8 = 25,
  kBits2x4 = 26,
  kBits4x2 = 27,
  kQInt8 = 28,
  kQUInt8 = 29,
  kQInt32 = 30,
  kQUInt4x2 = 31,
  kQUInt2x4 = 32,
  // Sub-byte integers exist as names in torch but torch.save refuses them; one byte an element.
  kInt1 = 33,
  kInt2 = 34,
  kInt3 = 35,
  kInt4 = 36,
  kInt5 = 37,
  kInt6 = 38,
  kInt7 = 39,
  kUInt1 = 40,
  kUInt2 = 41,
  kUInt3 = 42,
  kUInt4 = 43,
  kUInt5 = 44,
  kUInt6 = 45,
  kUInt7 = 46,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;           // "float32": torch's name without "torch."
  int32_t item_size;               // bytes an element
  std::string_view storage_class;  // "FloatStorage" in module torch; empty: written with
                                   // _rebuild_tensor_v3 and torch.storage.UntypedStorage
  bool quantized;
};

const DTypeInfo& GetDTypeInfo(DType dtype);  // dtype must be one of the enumerators
bool IsValidDType(int32_t value);
inline std::string_view DTypeName(DType dtype) { return GetDTypeInfo(dtype).name; }
inline int64_t DTypeSize(DType dtype) { return GetDTypeInfo(dtype).item_size; }
std::optional<DType> DTypeFromName(std::string_view name);  // "float32" or "torch.float32"
std::optional<DType> DTypeFromStorageClass(std::string_view storage_class);  // "FloatStorage"

}  // namespace dcp

#endif  // DCP_BASE_DTYPE_H_
