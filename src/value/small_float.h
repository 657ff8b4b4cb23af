// Floating point formats of 8 and 16 bits, to and from float, rounding to nearest even. The rules
// for what does not fit (infinity, NaN or a saturated code) are those of torch's c10 types.
#ifndef DCP_VALUE_SMALL_FLOAT_H_
#define DCP_VALUE_SMALL_FLOAT_H_

#include <bit>
#include <cstdint>

namespace dcp {

// Sign, kExponent bits with bias kBias, kMantissa bits. `kUnsignedZero`: the "fnuz" formats, whose
// one NaN has the code of minus zero.
template <int kExponent, int kMantissa, int kBias, uint32_t kLargest, uint32_t kOverflow,
          uint32_t kNan, bool kUnsignedZero>
struct SmallFloat {
  static constexpr int kBits = 1 + kExponent + kMantissa;
  static constexpr uint32_t kSign = 1u << (kBits - 1);
  static constexpr int kShift = 23 - kMantissa;
  static constexpr uint32_t kRebias = static_cast<uint32_t>(127 - kBias) << 23;

  static constexpr float Power(int exponent) {
    return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
  }

  static uint32_t FromFloat(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = bits & 0x7fffffff;
    const uint32_t sign = bits >> 31 << (kBits - 1);
    // Below the smallest normal number: adding a power of two whose last bit is the format's
    // smallest step makes the addition itself round.
    constexpr float kAnchor = Power(24 - kBias - kMantissa);
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + kAnchor) -
                               std::bit_cast<uint32_t>(kAnchor);
    const uint32_t odd = (magnitude >> kShift) & 1;
    const uint32_t normal = (magnitude + ((1u << (kShift - 1)) - 1) + odd - kRebias) >> kShift;
    constexpr uint32_t kSmallestNormal = static_cast<uint32_t>(128 - kBias) << 23;
    uint32_t code = magnitude < kSmallestNormal ? subnormal : normal;
    code = code > kLargest ? kOverflow : code;
    code = magnitude > 0x7f800000 ? kNan : code;
    if constexpr (kUnsignedZero) return code == 0 ? 0 : code | sign;
    return code | sign;
  }

  static float ToFloat(uint32_t code) {
    const uint32_t sign = (code & kSign) << (32 - kBits);
    const uint32_t magnitude = code & (kSign - 1);
    const float subnormal =
        static_cast<float>(static_cast<int32_t>(magnitude)) * Power(1 - kBias - kMantissa);
    uint32_t bits = (magnitude >> kMantissa) == 0 ? std::bit_cast<uint32_t>(subnormal)
                                                  : (magnitude << kShift) + kRebias;
    if constexpr (kUnsignedZero) {
      bits = code == kNan ? 0x7fc00000 : bits;
    } else if constexpr (kOverflow == kNan) {
      bits = magnitude == kNan ? 0x7fc00000 : bits;
    } else {
      bits = magnitude > kOverflow ? 0x7fc00000 | (magnitude << kShift) : bits;
      bits = magnitude == kOverflow ? 0x7f800000 : bits;
    }
    return std::bit_cast<float>(bits | sign);
  }
};

using Float16 = SmallFloat<5, 10, 15, 0x7bff, 0x7c00, 0x7e00, false>;
using Float8E4M3FN = SmallFloat<4, 3, 7, 0x7e, 0x7f, 0x7f, false>;
using Float8E4M3FNUZ = SmallFloat<4, 3, 8, 0x7f, 0x80, 0x80, true>;
using Float8E5M2 = SmallFloat<5, 2, 15, 0x7b, 0x7c, 0x7f, false>;
using Float8E5M2FNUZ = SmallFloat<5, 2, 16, 0x7f, 0x80, 0x80, true>;

struct BFloat16 {
  static uint32_t FromFloat(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded;
  }
  static float ToFloat(uint32_t code) { return std::bit_cast<float>(code << 16); }
};

// A power of two: no sign, no mantissa. The sign of what is converted is dropped.
struct Float8E8M0FNU {
  static uint32_t FromFloat(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t exponent = (bits >> 23) & 0xff;
    if (exponent == 0xff) return 0xff;
    const uint32_t fraction = bits & 0x7fffff;
    const bool up = fraction > 0x400000 || (fraction == 0x400000 && exponent > 0);
    return up ? exponent + 1 : exponent;
  }
  static float ToFloat(uint32_t code) {
    if (code == 0xff) return std::bit_cast<float>(0x7fc00000u);
    return std::bit_cast<float>(code == 0 ? 0x00400000u : code << 23);
  }
};

}  // namespace dcp

#endif  // DCP_VALUE_SMALL_FLOAT_H_
