#include "value/cast.h"

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/bytes.h"
#include "support/checks.h"
#include "support/cmocka.h"

namespace dcp {
namespace {

constexpr DType kCastable[] = {
    DType::kFloat32,       DType::kFloat64,    DType::kFloat16,        DType::kBFloat16,
    DType::kInt8,          DType::kInt16,      DType::kInt32,          DType::kInt64,
    DType::kUInt8,         DType::kBool,       DType::kComplex64,      DType::kComplex128,
    DType::kComplex32,     DType::kUInt16,     DType::kUInt32,         DType::kUInt64,
    DType::kFloat8E4M3FN,  DType::kFloat8E5M2, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2FNUZ,
    DType::kFloat8E8M0FNU,
};

template <typename To, typename From>
std::vector<To> Cast(DType from, DType to, std::vector<From> values) {
  Shape shape = {static_cast<int64_t>(values.size() * sizeof(From)) / DTypeSize(from)};
  std::vector<To> out(static_cast<size_t>(shape[0] * DTypeSize(to)) / sizeof(To));
  CastElements(*Tensor::Borrow(from, shape, {}, values.data()),
               *Tensor::Borrow(to, shape, {}, out.data()));
  return out;
}

template <typename Code>
Code Encode(DType dtype, float value) {
  return Cast<Code, float>(DType::kFloat32, dtype, {value})[0];
}

template <typename Code>
float Decode(DType dtype, Code code) {
  return Cast<float, Code>(dtype, DType::kFloat32, {code})[0];
}

// The code whose value is nearest, by trying all of them: ties go to the even code.
template <typename Code>
struct Table {
  explicit Table(DType type) : dtype(type) {
    std::vector<Code> codes;
    for (uint32_t code = 0; code <= std::numeric_limits<Code>::max(); ++code) {
      codes.push_back(static_cast<Code>(code));
    }
    values = Cast<float, Code>(dtype, DType::kFloat32, codes);
  }
  DType dtype;
  std::vector<float> values;

  std::string RoundTrips() const {
    for (size_t code = 0; code < values.size(); ++code) {
      if (std::isnan(values[code])) {
        CHECK_THAT(std::isnan(Decode<Code>(dtype, Encode<Code>(dtype, values[code]))));
      } else {
        CHECK_THAT(Encode<Code>(dtype, values[code]) == code);
      }
    }
    return {};
  }

  std::string RoundsToNearest(std::mt19937& random, int rounds) const {
    for (int i = 0; i < rounds; ++i) {
      size_t code = random() % values.size();
      const float value = values[code];
      if (!std::isfinite(value) || value == 0) continue;
      // The neighbour away from zero, and the middle between the two, are exact in double.
      if (code + 1 >= values.size() || !std::isfinite(values[code + 1])) continue;
      const double next = values[code + 1];
      if ((next < 0) != (value < 0) || std::fabs(next) < std::fabs(value)) continue;
      const float middle = static_cast<float>((double{value} + next) / 2);
      const float inner = std::nextafterf(middle, value);
      const float outer = std::nextafterf(middle, static_cast<float>(next));
      CHECK_THAT(Encode<Code>(dtype, inner) == code);
      CHECK_THAT(Encode<Code>(dtype, outer) == code + 1);
      const size_t even = code % 2 == 0 ? code : code + 1;
      CHECK_THAT(Encode<Code>(dtype, middle) == even);
    }
    return {};
  }
};

std::string SmallFloatsRoundTripAndRound() {
  std::mt19937 random(std::random_device{}());
  for (DType dtype :
       {DType::kFloat8E4M3FN, DType::kFloat8E5M2, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2FNUZ}) {
    Table<uint8_t> table(dtype);
    if (std::string failure = table.RoundTrips(); !failure.empty()) return failure;
    if (std::string failure = table.RoundsToNearest(random, 3000); !failure.empty()) return failure;
  }
  for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    Table<uint16_t> table(dtype);
    if (std::string failure = table.RoundTrips(); !failure.empty()) return failure;
    if (std::string failure = table.RoundsToNearest(random, 30000); !failure.empty()) {
      return failure;
    }
  }
  return {};
}

std::string KnownCodes() {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, 1.0f) == 0x3c00);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, -2.0f) == 0xc000);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, 65504.0f) == 0x7bff);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, 65520.0f) == 0x7c00);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, 1e30f) == 0x7c00);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, 0x1p-24f) == 1);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, 0x1p-26f) == 0);
  CHECK_THAT(Encode<uint16_t>(DType::kFloat16, nan) == 0x7e00);
  CHECK_THAT(Encode<uint16_t>(DType::kBFloat16, 1.0f) == 0x3f80);
  CHECK_THAT(Encode<uint16_t>(DType::kBFloat16, -kInf) == 0xff80);
  CHECK_THAT(Encode<uint16_t>(DType::kBFloat16, nan) == 0x7fc0);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FN, 448.0f) == 0x7e);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FN, 464.0f) == 0x7e);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FN, 465.0f) == 0x7f);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FN, -kInf) == 0xff);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E5M2, 57344.0f) == 0x7b);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E5M2, 1e9f) == 0x7c);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E5M2, nan) == 0x7f);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FNUZ, 240.0f) == 0x7f);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FNUZ, 1e9f) == 0x80);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E4M3FNUZ, -0.0f) == 0x00);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E5M2FNUZ, -1e9f) == 0x80);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E8M0FNU, 1.0f) == 127);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E8M0FNU, 1.5f) == 128);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E8M0FNU, 1.49f) == 127);
  CHECK_THAT(Encode<uint8_t>(DType::kFloat8E8M0FNU, kInf) == 255);
  CHECK_THAT(Decode<uint8_t>(DType::kFloat8E8M0FNU, 0) == 0x1p-127f);
  CHECK_THAT(std::isnan(Decode<uint8_t>(DType::kFloat8E8M0FNU, 255)));
  CHECK_THAT(std::isinf(Decode<uint16_t>(DType::kFloat16, 0xfc00)));
  return {};
}

std::string NumbersAsTorchConvertsThem() {
  using C64 = std::complex<float>;
  using I64 = std::vector<int64_t>;
  CHECK_THAT((Cast<int64_t, float>(DType::kFloat32, DType::kInt64, {1.9f, -1.9f, 0.5f})) ==
             I64({1, -1, 0}));
  CHECK_THAT((Cast<uint8_t, float>(DType::kFloat32, DType::kUInt8, {-1.0f, 257.0f})) ==
             std::vector<uint8_t>({255, 1}));
  CHECK_THAT((Cast<uint64_t, double>(DType::kFloat64, DType::kUInt64, {1.5e19})) ==
             std::vector<uint64_t>({15000000000000000000u}));
  CHECK_THAT((Cast<int8_t, int64_t>(DType::kInt64, DType::kInt8, {-1, 300})) ==
             std::vector<int8_t>({-1, 44}));
  CHECK_THAT((Cast<int64_t, uint64_t>(DType::kUInt64, DType::kInt64, {~uint64_t{0}})) == I64({-1}));
  CHECK_THAT((Cast<float, int64_t>(DType::kInt64, DType::kFloat32, {16777217})) ==
             std::vector<float>({16777216.0f}));
  CHECK_THAT((Cast<uint8_t, float>(DType::kFloat32, DType::kBool, {0.0f, 0.25f, -0.0f, NAN})) ==
             std::vector<uint8_t>({0, 1, 0, 1}));
  CHECK_THAT((Cast<double, uint8_t>(DType::kBool, DType::kFloat64, {1, 0})) ==
             std::vector<double>({1, 0}));
  CHECK_THAT((Cast<double, C64>(DType::kComplex64, DType::kFloat64, {{1.5f, 2.0f}})) ==
             std::vector<double>({1.5}));
  CHECK_THAT((Cast<C64, double>(DType::kFloat64, DType::kComplex64, {2.5})) ==
             std::vector<C64>({{2.5f, 0}}));
  CHECK_THAT((Cast<uint8_t, C64>(DType::kComplex64, DType::kBool, {{0, 1}, {0, 0}})) ==
             std::vector<uint8_t>({1, 0}));
  CHECK_THAT((Cast<uint16_t, C64>(DType::kComplex64, DType::kComplex32, {{1, -2}})) ==
             std::vector<uint16_t>({0x3c00, 0xc000}));
  CHECK_THAT((Cast<C64, uint16_t>(DType::kComplex32, DType::kComplex64, {0x3c00, 0xc000})) ==
             std::vector<C64>({{1, -2}}));
  // Through float, as torch: the middle of two float16 values plus a bit that float cannot hold.
  CHECK_THAT(
      (Cast<uint16_t, double>(DType::kFloat64, DType::kFloat16, {1.0 + 0x1p-11 + 0x1p-40})) ==
      std::vector<uint16_t>({0x3c00}));
  return {};
}

// Small integers are exact in every type but the one without a mantissa: any chain of casts through
// any strides must give them back.
std::string EveryPairKeepsSmallIntegers() {
  std::mt19937 random(std::random_device{}());
  const Shape shape = {7, 5, 40};
  for (DType from : kCastable) {
    for (DType to : kCastable) {
      CHECK_THAT(CanCast(from, to));
      const bool powers = from == DType::kFloat8E8M0FNU || to == DType::kFloat8E8M0FNU;
      const bool boolean = from == DType::kBool || to == DType::kBool;
      std::vector<int32_t> numbers(7 * 5 * 40);
      for (int32_t& number : numbers) {
        number = powers ? 1 << (random() % 3) : static_cast<int32_t>(random() % 5);
        if (boolean) number = powers ? 1 : number % 2;
      }
      Tensor plain = *Tensor::Borrow(DType::kInt32, shape, {}, numbers.data());
      std::vector<std::byte> a(7 * 5 * 40 * 16 * 2);
      std::vector<std::byte> b(7 * 5 * 40 * 16 * 2);
      const Shape odd = {1, 7, 36};  // permuted with gaps
      Tensor source = *Tensor::Borrow(from, shape, random() % 2 ? odd : Shape{}, a.data());
      Tensor target = *Tensor::Borrow(to, shape, random() % 2 ? odd : Shape{}, b.data());
      std::vector<int32_t> back(numbers.size());
      CastElements(plain, source);
      CastElements(source, target);
      CastElements(target, *Tensor::Borrow(DType::kInt32, shape, {}, back.data()));
      CHECK_THAT(back == numbers);
    }
  }
  for (DType dtype : {DType::kBits8, DType::kQInt8, DType::kFloat4E2M1FNx2, DType::kInt4}) {
    CHECK_THAT(!CanCast(dtype, DType::kFloat32));
    CHECK_THAT(!CanCast(DType::kFloat32, dtype));
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::SmallFloatsRoundTripAndRound>),
      cmocka_unit_test(dcp::Checked<dcp::KnownCodes>),
      cmocka_unit_test(dcp::Checked<dcp::NumbersAsTorchConvertsThem>),
      cmocka_unit_test(dcp::Checked<dcp::EveryPairKeepsSmallIntegers>),
  };
  return cmocka_run_group_tests_name("value/cast", tests, nullptr, nullptr);
}
