#include "base/dtype.h"

#include <array>

namespace dcp {
namespace {

constexpr std::array kTable = {
    DTypeInfo{DType::kFloat32, "float32", 4, "FloatStorage", false},
    DTypeInfo{DType::kFloat64, "float64", 8, "DoubleStorage", false},
    DTypeInfo{DType::kFloat16, "float16", 2, "HalfStorage", false},
    DTypeInfo{DType::kBFloat16, "bfloat16", 2, "BFloat16Storage", false},
    DTypeInfo{DType::kInt8, "int8", 1, "CharStorage", false},
    DTypeInfo{DType::kInt16, "int16", 2, "ShortStorage", false},
    DTypeInfo{DType::kInt32, "int32", 4, "IntStorage", false},
    DTypeInfo{DType::kInt64, "int64", 8, "LongStorage", false},
    DTypeInfo{DType::kUInt8, "uint8", 1, "ByteStorage", false},
    DTypeInfo{DType::kBool, "bool", 1, "BoolStorage", false},
    DTypeInfo{DType::kComplex64, "complex64", 8, "ComplexFloatStorage", false},
    DTypeInfo{DType::kComplex128, "complex128", 16, "ComplexDoubleStorage", false},
    DTypeInfo{DType::kComplex32, "complex32", 4, "", false},
    DTypeInfo{DType::kUInt16, "uint16", 2, "", false},
    DTypeInfo{DType::kUInt32, "uint32", 4, "", false},
    DTypeInfo{DType::kUInt64, "uint64", 8, "", false},
    DTypeInfo{DType::kFloat8E4M3FN, "float8_e4m3fn", 1, "", false},
    DTypeInfo{DType::kFloat8E4M3FNUZ, "float8_e4m3fnuz", 1, "", false},
    DTypeInfo{DType::kFloat8E5M2, "float8_e5m2", 1, "", false},
    DTypeInfo{DType::kFloat8E5M2FNUZ, "float8_e5m2fnuz", 1, "", false},
    DTypeInfo{DType::kFloat8E8M0FNU, "float8_e8m0fnu", 1, "", false},
    DTypeInfo{DType::kFloat4E2M1FNx2, "float4_e2m1fn_x2", 1, "", false},
    DTypeInfo{DType::kBits8, "bits8", 1, "", false},
    DTypeInfo{DType::kBits16, "bits16", 2, "", false},
    DTypeInfo{DType::kBits1x8, "bits1x8", 1, "", false},
    DTypeInfo{DType::kBits2x4, "bits2x4", 1, "", false},
    DTypeInfo{DType::kBits4x2, "bits4x2", 1, "", false},
    DTypeInfo{DType::kQInt8, "qint8", 1, "QInt8Storage", true},
    DTypeInfo{DType::kQUInt8, "quint8", 1, "QUInt8Storage", true},
    DTypeInfo{DType::kQInt32, "qint32", 4, "QInt32Storage", true},
    DTypeInfo{DType::kQUInt4x2, "quint4x2", 1, "QUInt4x2Storage", true},
    DTypeInfo{DType::kQUInt2x4, "quint2x4", 1, "QUInt2x4Storage", true},
    DTypeInfo{DType::kInt1, "int1", 1, "", false},
    DTypeInfo{DType::kInt2, "int2", 1, "", false},
    DTypeInfo{DType::kInt3, "int3", 1, "", false},
    DTypeInfo{DType::kInt4, "int4", 1, "", false},
    DTypeInfo{DType::kInt5, "int5", 1, "", false},
    DTypeInfo{DType::kInt6, "int6", 1, "", false},
    DTypeInfo{DType::kInt7, "int7", 1, "", false},
    DTypeInfo{DType::kUInt1, "uint1", 1, "", false},
    DTypeInfo{DType::kUInt2, "uint2", 1, "", false},
    DTypeInfo{DType::kUInt3, "uint3", 1, "", false},
    DTypeInfo{DType::kUInt4, "uint4", 1, "", false},
    DTypeInfo{DType::kUInt5, "uint5", 1, "", false},
    DTypeInfo{DType::kUInt6, "uint6", 1, "", false},
    DTypeInfo{DType::kUInt7, "uint7", 1, "", false},
};

constexpr bool Ordered() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].dtype) != i + 1) return false;
  }
  return true;
}
static_assert(Ordered(), "row i describes enumerator i + 1");

}  // namespace

bool IsValidDType(int32_t value) {
  return value >= 1 && value <= static_cast<int32_t>(kTable.size());
}

const DTypeInfo& GetDTypeInfo(DType dtype) { return kTable[static_cast<size_t>(dtype) - 1]; }

std::optional<DType> DTypeFromName(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  for (const DTypeInfo& info : kTable) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

std::optional<DType> DTypeFromStorageClass(std::string_view storage_class) {
  if (storage_class.empty()) return std::nullopt;
  for (const DTypeInfo& info : kTable) {
    if (info.storage_class == storage_class) return info.dtype;
  }
  return std::nullopt;
}

}  // namespace dcp
