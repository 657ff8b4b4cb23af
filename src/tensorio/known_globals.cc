#include "tensorio/known_globals.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace dcp {
namespace {

constexpr uint8_t kName = kGlobalName;
constexpr uint8_t kCall = kGlobalCall;
constexpr uint8_t kNew = kGlobalNew;
constexpr uint8_t kState = kGlobalState;
constexpr uint8_t kItems = kGlobalItems;
constexpr uint8_t kPairs = kGlobalPairs;
constexpr uint8_t kType = kGlobalName | kGlobalCall;

using Form = GlobalForm;

// Sorted by module, then name.
constexpr std::array kTable = {
    KnownGlobal{"_codecs", "encode", kCall, Form::kEncode},
    KnownGlobal{"builtins", "Ellipsis", kName},
    KnownGlobal{"builtins", "NotImplemented", kName},
    KnownGlobal{"builtins", "bool", kName},
    KnownGlobal{"builtins", "bytearray", kType, Form::kByteArray},
    KnownGlobal{"builtins", "bytes", kType, Form::kBytes},
    KnownGlobal{"builtins", "complex", kType, Form::kComplex},
    KnownGlobal{"builtins", "dict", kName},
    KnownGlobal{"builtins", "float", kName},
    KnownGlobal{"builtins", "frozenset", kType, Form::kFrozenSet},
    KnownGlobal{"builtins", "int", kName},
    KnownGlobal{"builtins", "list", kName},
    KnownGlobal{"builtins", "object", kName},
    KnownGlobal{"builtins", "range", kType},
    KnownGlobal{"builtins", "set", kType, Form::kSet},
    KnownGlobal{"builtins", "slice", kType},
    KnownGlobal{"builtins", "str", kName},
    KnownGlobal{"builtins", "tuple", kName},
    KnownGlobal{"collections", "Counter", kCall | kPairs},
    KnownGlobal{"collections", "OrderedDict", kType | kPairs | kState, Form::kOrderedDict},
    KnownGlobal{"collections", "defaultdict", kCall | kPairs},
    KnownGlobal{"collections", "deque", kCall | kItems},
    KnownGlobal{"datetime", "date", kCall},
    KnownGlobal{"datetime", "datetime", kCall},
    KnownGlobal{"datetime", "time", kCall},
    KnownGlobal{"datetime", "timedelta", kCall},
    KnownGlobal{"datetime", "timezone", kCall},
    KnownGlobal{"decimal", "Decimal", kCall},
    KnownGlobal{"fractions", "Fraction", kCall},
    KnownGlobal{"numpy", "dtype", kType | kState},
    KnownGlobal{"numpy", "ndarray", kName},
    KnownGlobal{"numpy._core.multiarray", "_reconstruct", kCall | kState, Form::kNumpyArray},
    KnownGlobal{"numpy._core.multiarray", "scalar", kCall, Form::kNumpyScalar},
    KnownGlobal{"numpy._core.numeric", "_frombuffer", kCall, Form::kNumpyBuffer},
    KnownGlobal{"pathlib", "PosixPath", kCall, Form::kPath},
    KnownGlobal{"pathlib", "PurePosixPath", kCall, Form::kPath},
    KnownGlobal{"pathlib", "PureWindowsPath", kCall, Form::kPath},
    KnownGlobal{"pathlib", "WindowsPath", kCall, Form::kPath},
    KnownGlobal{"torch", "Size", kCall, Form::kSize},
    KnownGlobal{"torch", "Tensor", kName},
    KnownGlobal{"torch", "device", kCall, Form::kDevice},
    KnownGlobal{"torch", "per_channel_affine", kName},
    KnownGlobal{"torch", "per_channel_affine_float_qparams", kName},
    KnownGlobal{"torch", "per_channel_symmetric", kName},
    KnownGlobal{"torch", "per_tensor_affine", kName},
    KnownGlobal{"torch", "per_tensor_symmetric", kName},
    KnownGlobal{"torch._tensor", "_rebuild_from_type", kCall, Form::kTypedTensor},
    KnownGlobal{"torch._tensor", "_rebuild_from_type_v2", kCall, Form::kTypedTensor},
    KnownGlobal{"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", kType},
    KnownGlobal{"torch._utils", "_rebuild_device_tensor_from_numpy", kType},
    KnownGlobal{"torch._utils", "_rebuild_meta_tensor_no_storage", kType},
    KnownGlobal{"torch._utils", "_rebuild_nested_tensor", kType},
    KnownGlobal{"torch._utils", "_rebuild_parameter", kType, Form::kParameter},
    KnownGlobal{"torch._utils", "_rebuild_parameter_with_state", kType, Form::kParameterWithState},
    KnownGlobal{"torch._utils", "_rebuild_qtensor", kType},
    KnownGlobal{"torch._utils", "_rebuild_sparse_csr_tensor", kType},
    KnownGlobal{"torch._utils", "_rebuild_sparse_tensor", kType},
    KnownGlobal{"torch._utils", "_rebuild_tensor", kType, Form::kTensor},
    KnownGlobal{"torch._utils", "_rebuild_tensor_v2", kType, Form::kTensor},
    KnownGlobal{"torch._utils", "_rebuild_tensor_v3", kType, Form::kTensor},
    KnownGlobal{"torch.distributed._shard.sharded_tensor.metadata", "MEM_FORMAT_ENCODING", kCall},
    KnownGlobal{"torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING", kCall},
    KnownGlobal{"torch.distributed.fsdp.api", "BackwardPrefetch", kCall},
    KnownGlobal{"torch.distributed.fsdp.api", "ShardingStrategy", kCall},
    KnownGlobal{"torch.distributed.fsdp.api", "StateDictType", kCall},
    KnownGlobal{"torch.nn.parameter", "Parameter", kName},
    KnownGlobal{"torch.serialization", "_get_layout", kCall, Form::kLayout},
    KnownGlobal{"uuid", "SafeUUID", kCall},
    KnownGlobal{"uuid", "UUID", kNew | kState},
};

constexpr bool Before(const KnownGlobal& a, const KnownGlobal& b) {
  return a.module != b.module ? a.module < b.module : a.name < b.name;
}
static_assert(std::is_sorted(kTable.begin(), kTable.end(), Before));

// Other names under which the same thing is found: those of Python 2, which pickles of protocol 2
// and lower carry, of numpy 1, and of pathlib in Python 3.13.
struct Alias {
  WrittenGlobal other;
  WrittenGlobal known;
};
constexpr Alias kNames[] = {
    {{"__builtin__", "long"}, {"builtins", "int"}},
    {{"__builtin__", "unicode"}, {"builtins", "str"}},
    {{"__builtin__", "xrange"}, {"builtins", "range"}},
};
struct ModuleAlias {
  std::string_view other;
  std::string_view known;
};
constexpr ModuleAlias kModules[] = {
    {"__builtin__", "builtins"},
    {"numpy.core.multiarray", "numpy._core.multiarray"},
    {"numpy.core.numeric", "numpy._core.numeric"},
    {"pathlib._local", "pathlib"},
};

}  // namespace

const KnownGlobal* FindKnownGlobal(std::string_view module, std::string_view name) {
  for (const Alias& alias : kNames) {
    if (alias.other.module == module && alias.other.name == name) {
      return FindKnownGlobal(alias.known.module, alias.known.name);
    }
  }
  for (const ModuleAlias& alias : kModules) {
    if (alias.other == module) module = alias.known;
  }
  const KnownGlobal wanted{module, name, 0};
  auto found = std::lower_bound(kTable.begin(), kTable.end(), wanted, Before);
  if (found == kTable.end() || Before(wanted, *found)) return nullptr;
  return &*found;
}

const KnownGlobal* FindKnownGlobal(std::string_view full_name) {
  size_t dot = full_name.rfind('.');
  if (dot == std::string_view::npos) return nullptr;
  return FindKnownGlobal(full_name.substr(0, dot), full_name.substr(dot + 1));
}

WrittenGlobal WrittenName(const KnownGlobal& global) {
  for (const Alias& alias : kNames) {
    if (alias.known.module == global.module && alias.known.name == global.name) {
      return alias.other;
    }
  }
  if (global.module == "builtins") return {"__builtin__", global.name};
  if (global.module == "numpy._core.multiarray") return {"numpy.core.multiarray", global.name};
  if (global.module == "numpy._core.numeric") return {"numpy.core.numeric", global.name};
  return {global.module, global.name};
}

}  // namespace dcp
