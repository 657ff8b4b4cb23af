#include "value/cast.h"

#include <algorithm>
#include <array>
#include <complex>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/bytes.h"
#include "value/small_float.h"

namespace dcp {
namespace {

// Every element is loaded as one of these, converted between them, and stored. A format narrower
// than float goes through float, as torch's own types do: float64 to float16 rounds twice.
enum class Via : uint8_t { kBool, kSigned, kUnsigned, kFloat, kDouble, kComplex, kDoubleComplex };

using Complex = std::complex<float>;
using DoubleComplex = std::complex<double>;

template <typename T>
inline constexpr bool kIsComplex = std::is_same_v<T, Complex> || std::is_same_v<T, DoubleComplex>;

// Out of range (undefined in C++): what x86's conversions give, INT64_MIN, for every integer type.
template <typename T>
int64_t ToSigned(T value) {
  constexpr T kLimit = T{9223372036854775808.0};
  return value >= -kLimit && value < kLimit ? static_cast<int64_t>(value)
                                            : std::numeric_limits<int64_t>::min();
}

template <typename T>
uint64_t ToUnsigned(T value) {
  constexpr T kHalf = T{9223372036854775808.0};
  if (value >= kHalf && value < 2 * kHalf) return static_cast<uint64_t>(value);
  return static_cast<uint64_t>(ToSigned(value));
}

template <typename From, typename To>
To ConvertOne(From value) {
  if constexpr (kIsComplex<From>) {
    if constexpr (kIsComplex<To>) {
      using Part = typename To::value_type;
      return To(static_cast<Part>(value.real()), static_cast<Part>(value.imag()));
    } else if constexpr (std::is_same_v<To, bool>) {
      return value.real() != 0 || value.imag() != 0;
    } else {
      return ConvertOne<typename From::value_type, To>(value.real());
    }
  } else if constexpr (kIsComplex<To>) {
    return To(ConvertOne<From, typename To::value_type>(value), 0);
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_same_v<To, int64_t>) {
    return ToSigned(value);
  } else if constexpr (std::is_floating_point_v<From> && std::is_same_v<To, uint64_t>) {
    return ToUnsigned(value);
  } else {
    return static_cast<To>(value);
  }
}

// How the elements of a dtype lie in memory.
template <typename Memory>
struct Plain {  // integers and IEEE types; Memory may be narrower than the type it goes through
  template <typename T>
  static T Load(const std::byte* from) {
    return static_cast<T>(LoadLe<Memory>(from));
  }
  template <typename T>
  static void Store(std::byte* to, T value) {
    StoreLe(to, static_cast<Memory>(value));
  }
  static constexpr size_t kSize = sizeof(Memory);
};

struct Boolean {
  template <typename T>
  static T Load(const std::byte* from) {
    return *from != std::byte{0};
  }
  template <typename T>
  static void Store(std::byte* to, T value) {
    *to = value ? std::byte{1} : std::byte{0};
  }
  static constexpr size_t kSize = 1;
};

template <typename Format, typename Code>
struct Small {
  template <typename T>
  static T Load(const std::byte* from) {
    return Format::ToFloat(LoadLe<Code>(from));
  }
  template <typename T>
  static void Store(std::byte* to, T value) {
    StoreLe(to, static_cast<Code>(Format::FromFloat(value)));
  }
  static constexpr size_t kSize = sizeof(Code);
};

template <typename Part, typename Real>
struct Pair {
  template <typename T>
  static T Load(const std::byte* from) {
    return T(Part::template Load<Real>(from), Part::template Load<Real>(from + Part::kSize));
  }
  template <typename T>
  static void Store(std::byte* to, T value) {
    Part::template Store<Real>(to, value.real());
    Part::template Store<Real>(to + Part::kSize, value.imag());
  }
  static constexpr size_t kSize = 2 * Part::kSize;
};

using LoadFn = void (*)(const std::byte* from, void* to, size_t count);
using StoreFn = void (*)(const void* from, std::byte* to, size_t count);
using ConvertFn = void (*)(const void* from, void* to, size_t count);

template <typename Memory, typename T>
void LoadMany(const std::byte* from, void* to, size_t count) {
  T* out = static_cast<T*>(to);
  for (size_t i = 0; i < count; ++i) out[i] = Memory::template Load<T>(from + i * Memory::kSize);
}

template <typename Memory, typename T>
void StoreMany(const void* from, std::byte* to, size_t count) {
  const T* in = static_cast<const T*>(from);
  for (size_t i = 0; i < count; ++i) Memory::template Store<T>(to + i * Memory::kSize, in[i]);
}

template <typename From, typename To>
void ConvertMany(const void* from, void* to, size_t count) {
  const From* in = static_cast<const From*>(from);
  To* out = static_cast<To*>(to);
  for (size_t i = 0; i < count; ++i) out[i] = ConvertOne<From, To>(in[i]);
}

struct Codec {
  Via via = Via::kBool;
  LoadFn load = nullptr;
  StoreFn store = nullptr;
};

template <typename Memory, typename T>
constexpr Codec MakeCodec(Via via) {
  return {via, LoadMany<Memory, T>, StoreMany<Memory, T>};
}

// load is null for dtypes without a value to convert.
Codec CodecOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return MakeCodec<Boolean, bool>(Via::kBool);
    case DType::kInt8:
      return MakeCodec<Plain<int8_t>, int64_t>(Via::kSigned);
    case DType::kInt16:
      return MakeCodec<Plain<int16_t>, int64_t>(Via::kSigned);
    case DType::kInt32:
      return MakeCodec<Plain<int32_t>, int64_t>(Via::kSigned);
    case DType::kInt64:
      return MakeCodec<Plain<int64_t>, int64_t>(Via::kSigned);
    case DType::kUInt8:
      return MakeCodec<Plain<uint8_t>, uint64_t>(Via::kUnsigned);
    case DType::kUInt16:
      return MakeCodec<Plain<uint16_t>, uint64_t>(Via::kUnsigned);
    case DType::kUInt32:
      return MakeCodec<Plain<uint32_t>, uint64_t>(Via::kUnsigned);
    case DType::kUInt64:
      return MakeCodec<Plain<uint64_t>, uint64_t>(Via::kUnsigned);
    case DType::kFloat32:
      return MakeCodec<Plain<float>, float>(Via::kFloat);
    case DType::kFloat64:
      return MakeCodec<Plain<double>, double>(Via::kDouble);
    case DType::kFloat16:
      return MakeCodec<Small<Float16, uint16_t>, float>(Via::kFloat);
    case DType::kBFloat16:
      return MakeCodec<Small<BFloat16, uint16_t>, float>(Via::kFloat);
    case DType::kFloat8E4M3FN:
      return MakeCodec<Small<Float8E4M3FN, uint8_t>, float>(Via::kFloat);
    case DType::kFloat8E4M3FNUZ:
      return MakeCodec<Small<Float8E4M3FNUZ, uint8_t>, float>(Via::kFloat);
    case DType::kFloat8E5M2:
      return MakeCodec<Small<Float8E5M2, uint8_t>, float>(Via::kFloat);
    case DType::kFloat8E5M2FNUZ:
      return MakeCodec<Small<Float8E5M2FNUZ, uint8_t>, float>(Via::kFloat);
    case DType::kFloat8E8M0FNU:
      return MakeCodec<Small<Float8E8M0FNU, uint8_t>, float>(Via::kFloat);
    case DType::kComplex32:
      return MakeCodec<Pair<Small<Float16, uint16_t>, float>, Complex>(Via::kComplex);
    case DType::kComplex64:
      return MakeCodec<Pair<Plain<float>, float>, Complex>(Via::kComplex);
    case DType::kComplex128:
      return MakeCodec<Pair<Plain<double>, double>, DoubleComplex>(Via::kDoubleComplex);
    default:
      return {};
  }
}

template <typename From>
ConvertFn ConverterFrom(Via to) {
  switch (to) {
    case Via::kBool:
      return ConvertMany<From, bool>;
    case Via::kSigned:
      return ConvertMany<From, int64_t>;
    case Via::kUnsigned:
      return ConvertMany<From, uint64_t>;
    case Via::kFloat:
      return ConvertMany<From, float>;
    case Via::kDouble:
      return ConvertMany<From, double>;
    case Via::kComplex:
      return ConvertMany<From, Complex>;
    case Via::kDoubleComplex:
      return ConvertMany<From, DoubleComplex>;
  }
  return nullptr;
}

ConvertFn ConverterOf(Via from, Via to) {
  switch (from) {
    case Via::kBool:
      return ConverterFrom<bool>(to);
    case Via::kSigned:
      return ConverterFrom<int64_t>(to);
    case Via::kUnsigned:
      return ConverterFrom<uint64_t>(to);
    case Via::kFloat:
      return ConverterFrom<float>(to);
    case Via::kDouble:
      return ConverterFrom<double>(to);
    case Via::kComplex:
      return ConverterFrom<Complex>(to);
    case Via::kDoubleComplex:
      return ConverterFrom<DoubleComplex>(to);
  }
  return nullptr;
}

using DirectFn = void (*)(const std::byte* from, std::byte* to, size_t count);

template <typename From, typename To, typename T, typename U>
void Direct(const std::byte* from, std::byte* to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    T value = From::template Load<T>(from + i * From::kSize);
    To::template Store<U>(to + i * To::kSize, static_cast<U>(value));
  }
}

// The pairs that training uses, in one loop each.
DirectFn DirectOf(DType from, DType to) {
  using F32 = Plain<float>;
  using F64 = Plain<double>;
  using F16 = Small<Float16, uint16_t>;
  using BF16 = Small<BFloat16, uint16_t>;
  if (from == DType::kFloat32) {
    if (to == DType::kBFloat16) return Direct<F32, BF16, float, float>;
    if (to == DType::kFloat16) return Direct<F32, F16, float, float>;
    if (to == DType::kFloat64) return Direct<F32, F64, float, double>;
  }
  if (to == DType::kFloat32) {
    if (from == DType::kBFloat16) return Direct<BF16, F32, float, float>;
    if (from == DType::kFloat16) return Direct<F16, F32, float, float>;
    if (from == DType::kFloat64) return Direct<F64, F32, double, float>;
  }
  return nullptr;
}

constexpr size_t kBlock = 512;  // elements converted at a time: the scratch stays in L1

class Converter {
 public:
  Converter(DType from, DType to)
      : direct_(DirectOf(from, to)),
        from_(CodecOf(from)),
        to_(CodecOf(to)),
        convert_(ConverterOf(from_.via, to_.via)),
        from_size_(static_cast<size_t>(DTypeSize(from))),
        to_size_(static_cast<size_t>(DTypeSize(to))) {}

  void Run(const std::byte* from, std::byte* to, size_t count) const {
    if (direct_ != nullptr) return direct_(from, to, count);
    alignas(16) std::array<std::byte, kBlock * sizeof(DoubleComplex)> loaded;
    alignas(16) std::array<std::byte, kBlock * sizeof(DoubleComplex)> converted;
    while (count > 0) {
      const size_t part = std::min(count, kBlock);
      from_.load(from, loaded.data(), part);
      convert_(loaded.data(), converted.data(), part);
      to_.store(converted.data(), to, part);
      from += part * from_size_;
      to += part * to_size_;
      count -= part;
    }
  }

 private:
  DirectFn direct_;
  Codec from_;
  Codec to_;
  ConvertFn convert_;
  size_t from_size_;
  size_t to_size_;
};

}  // namespace

bool CanCast(DType from, DType to) {
  return CodecOf(from).load != nullptr && CodecOf(to).load != nullptr;
}

void CastElements(const Tensor& from, const Tensor& to) {
  if (from.dtype == to.dtype) return CopyElements(from, to);
  const int64_t count = from.num_elements();
  if (count == 0) return;
  const Converter converter(from.dtype, to.dtype);
  const bool dense_from = from.contiguous();
  const bool dense_to = to.contiguous();
  if (dense_from && dense_to) {
    return converter.Run(from.data, to.data, static_cast<size_t>(count));
  }
  std::array<std::byte, kBlock * sizeof(DoubleComplex)> gathered;
  std::array<std::byte, kBlock * sizeof(DoubleComplex)> scattered;
  for (int64_t first = 0; first < count;) {
    const int64_t part = std::min<int64_t>(count - first, kBlock);
    const std::byte* source = gathered.data();
    if (dense_from) {
      source = from.data + first * DTypeSize(from.dtype);
    } else {
      GatherElements(from, first, part, gathered.data());
    }
    if (dense_to) {
      converter.Run(source, to.data + first * DTypeSize(to.dtype), static_cast<size_t>(part));
    } else {
      converter.Run(source, scattered.data(), static_cast<size_t>(part));
      ScatterElements(scattered.data(), first, part, to);
    }
    first += part;
  }
}

}  // namespace dcp
