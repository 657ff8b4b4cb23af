// The allow-list: globals of a pickle that become values. Nothing is ever imported or called;
// being on the list only means that the constructor's arguments say all there is to say.
#ifndef DCP_TENSORIO_KNOWN_GLOBALS_H_
#define DCP_TENSORIO_KNOWN_GLOBALS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace dcp {

// What a call becomes; kPlain: ValueKind::kConstructed.
enum class GlobalForm : uint8_t {
  kPlain,
  kOrderedDict,
  kSet,
  kFrozenSet,
  kComplex,
  kByteArray,
  kBytes,
  kEncode,
  kPath,
  kSize,
  kDevice,
  kLayout,
  kTensor,
  kParameter,
  kParameterWithState,
  kTypedTensor,
  kNumpyArray,
  kNumpyScalar,
  kNumpyBuffer,
};

// How a global may appear.
inline constexpr uint8_t kGlobalName = 1;    // by itself
inline constexpr uint8_t kGlobalCall = 2;    // called (REDUCE)
inline constexpr uint8_t kGlobalNew = 4;     // made by __new__ (NEWOBJ)
inline constexpr uint8_t kGlobalState = 8;   // with a state (BUILD)
inline constexpr uint8_t kGlobalItems = 16;  // with items appended
inline constexpr uint8_t kGlobalPairs = 32;  // with entries set

struct KnownGlobal {
  std::string_view module;  // as Python 3.12 and numpy 2 call it
  std::string_view name;
  uint8_t uses;
  GlobalForm form = GlobalForm::kPlain;

  std::string FullName() const { return std::string(module).append(".").append(name); }
};

// Null when the global is not on the list. Python 2's names, numpy 1's and those of Python 3.13's
// pathlib are understood.
const KnownGlobal* FindKnownGlobal(std::string_view module, std::string_view name);
const KnownGlobal* FindKnownGlobal(std::string_view full_name);  // "module.name"

// The names to write: a protocol 2 pickle of them loads in every Python 3 and in numpy 1 and 2.
struct WrittenGlobal {
  std::string_view module;
  std::string_view name;
};
WrittenGlobal WrittenName(const KnownGlobal& global);

}  // namespace dcp

#endif  // DCP_TENSORIO_KNOWN_GLOBALS_H_
