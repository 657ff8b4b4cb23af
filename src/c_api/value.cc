#include "c_api/value.h"

#include <string>

#include "c_api/tensor.h"
#include "tensorio/known_globals.h"
#include "value/names.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::Value;
using dcp::ValueKind;
using dcp::ValuePtr;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

static_assert(static_cast<int32_t>(ValueKind::kFrozenSet) == DCP_VALUE_FROZENSET);
static_assert(static_cast<int32_t>(ValueKind::kMemoryFormat) == DCP_VALUE_MEMORY_FORMAT);
static_assert(static_cast<int32_t>(ValueKind::kConstructed) == DCP_VALUE_CONSTRUCTED);

namespace {

// Runs a maker and hands its value out.
template <typename Make>
dcp_status Made(dcp_value** out, dcp_error** error, Make&& make) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp::Result<ValuePtr> made = make();
    if (!made.ok()) return made.status();
    *out = new dcp_value(*std::move(made));
    return Status::Ok();
  });
}

Status CheckKind(const dcp_value* value, std::initializer_list<ValueKind> kinds, const char* call) {
  DCP_RETURN_IF_ERROR(CheckHandle(value, "value"));
  for (ValueKind kind : kinds) {
    if (value->value->kind == kind) return Status::Ok();
  }
  return Error(Code::kInvalidArgument, "{} does not apply to a value of kind {}", call,
               static_cast<int32_t>(value->value->kind));
}

dcp::Result<std::vector<ValuePtr>> Collect(const dcp_value* const* items, size_t count,
                                           const char* what) {
  if (count > 0 && items == nullptr) return Error(Code::kInvalidArgument, "{} is NULL", what);
  std::vector<ValuePtr> values;
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    DCP_RETURN_IF_ERROR(CheckHandle(items[i], what));
    values.push_back(items[i]->value);
  }
  return values;
}

// numpy arrays and scalars of types that torch lacks have no other form.
bool StaysConstructed(const dcp::KnownGlobal& global) {
  return global.form == dcp::GlobalForm::kPlain || global.form == dcp::GlobalForm::kNumpyArray ||
         global.form == dcp::GlobalForm::kNumpyScalar;
}

dcp::Result<ValuePtr> MakeText(int32_t kind, const void* bytes, size_t size) {
  if (size > 0 && bytes == nullptr) return Error(Code::kInvalidArgument, "bytes is NULL");
  std::string text(static_cast<const char*>(bytes), size);
  switch (static_cast<ValueKind>(kind)) {
    case ValueKind::kString:
      if (!dcp::IsWtf8(text)) {
        return Error(Code::kInvalidArgument, "a string value is not UTF-8: '{}'",
                     dcp::PrintableName(text));
      }
      break;
    case ValueKind::kDType: {
      auto dtype = dcp::DTypeFromName(text);
      if (!dtype)
        return Error(Code::kInvalidArgument, "'{}' is no dtype", dcp::PrintableName(text));
      return Value::TypeOf(*dtype);
    }
    case ValueKind::kBytes:
    case ValueKind::kByteArray:
    case ValueKind::kDevice:
    case ValueKind::kLayout:
    case ValueKind::kMemoryFormat:
      break;
    default:
      return Error(Code::kInvalidArgument, "kind {} is not made of text", kind);
  }
  auto value = std::make_shared<Value>();
  value->kind = static_cast<ValueKind>(kind);
  value->text = std::move(text);
  return ValuePtr(std::move(value));
}

}  // namespace

extern "C" {

int32_t dcp_value_kind_of(const dcp_value* value) {
  return value == nullptr ? 0 : static_cast<int32_t>(value->value->kind);
}

dcp_status dcp_value_none(dcp_value** out, dcp_error** error) {
  return Made(out, error, [] { return Value::None(); });
}

dcp_status dcp_value_bool(int32_t boolean, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&] { return Value::Bool(boolean != 0); });
}

dcp_status dcp_value_int(int64_t integer, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&] { return Value::Int(integer); });
}

dcp_status dcp_value_big_int(const void* bytes, size_t size, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (size > 0 && bytes == nullptr) return Error(Code::kInvalidArgument, "bytes is NULL");
    return Value::BigInt(std::string(static_cast<const char*>(bytes), size));
  });
}

dcp_status dcp_value_float(double real, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&] { return Value::Float(real); });
}

dcp_status dcp_value_complex(double real, double imaginary, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&] { return Value::Complex(real, imaginary); });
}

dcp_status dcp_value_text(int32_t kind, const void* bytes, size_t size, dcp_value** out,
                          dcp_error** error) {
  return Made(out, error, [&] { return MakeText(kind, bytes, size); });
}

dcp_status dcp_value_path(const char* global_name, const char* path, size_t size, dcp_value** out,
                          dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (global_name == nullptr || (size > 0 && path == nullptr)) {
      return Error(Code::kInvalidArgument, "global_name or path is NULL");
    }
    auto value = std::make_shared<Value>();
    value->kind = ValueKind::kPath;
    value->name = global_name;
    value->text.assign(path == nullptr ? "" : path, size);
    return ValuePtr(std::move(value));
  });
}

dcp_status dcp_value_sequence(int32_t kind, const dcp_value* const* items, size_t count,
                              dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (kind != DCP_VALUE_LIST && kind != DCP_VALUE_TUPLE && kind != DCP_VALUE_SET &&
        kind != DCP_VALUE_FROZENSET) {
      return Error(Code::kInvalidArgument, "kind {} is no sequence or set", kind);
    }
    DCP_ASSIGN_OR_RETURN(auto values, Collect(items, count, "items"));
    return Value::Sequence(static_cast<ValueKind>(kind), std::move(values));
  });
}

dcp_status dcp_value_dict(int32_t kind, const dcp_value* const* keys,
                          const dcp_value* const* values, size_t count, dcp_value** out,
                          dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (kind != DCP_VALUE_DICT && kind != DCP_VALUE_ORDERED_DICT) {
      return Error(Code::kInvalidArgument, "kind {} is no dict", kind);
    }
    DCP_ASSIGN_OR_RETURN(auto k, Collect(keys, count, "keys"));
    DCP_ASSIGN_OR_RETURN(auto v, Collect(values, count, "values"));
    std::vector<std::pair<ValuePtr, ValuePtr>> entries;
    entries.reserve(count);
    for (size_t i = 0; i < count; ++i) entries.emplace_back(std::move(k[i]), std::move(v[i]));
    return Value::Dict(std::move(entries), kind == DCP_VALUE_ORDERED_DICT);
  });
}

dcp_status dcp_value_size(const int64_t* sizes, size_t count, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (count > 0 && sizes == nullptr) return Error(Code::kInvalidArgument, "sizes is NULL");
    return Value::SizeOf(dcp::Shape(sizes, sizes + count));
  });
}

dcp_status dcp_value_tensor(int32_t kind, const dcp_tensor* tensor, dcp_value** out,
                            dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    DCP_RETURN_IF_ERROR(CheckHandle(tensor, "tensor"));
    switch (kind) {
      case DCP_VALUE_TENSOR:
        return Value::Of(tensor->tensor);
      case DCP_VALUE_NUMPY_SCALAR:
        if (!tensor->tensor.shape.empty()) {
          return Error(Code::kInvalidArgument, "a numpy scalar has no dimensions, not shape {}",
                       dcp::ToString(tensor->tensor.shape));
        }
        [[fallthrough]];
      case DCP_VALUE_NUMPY_ARRAY: {
        auto value = std::make_shared<Value>();
        value->kind = static_cast<ValueKind>(kind);
        value->tensor = tensor->tensor;
        return ValuePtr(std::move(value));
      }
      default:
        return Error(Code::kInvalidArgument, "kind {} is not made of a tensor", kind);
    }
  });
}

dcp_status dcp_value_sharded_tensor(int32_t dtype, int32_t ndim, const int64_t* global_shape,
                                    const dcp_tensor* const* shards, const int64_t* offsets,
                                    size_t count, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (!dcp::IsValidDType(dtype)) return Error(Code::kInvalidArgument, "{} is no dtype", dtype);
    if (ndim < 0 || ndim > dcp::kMaxDims || (ndim > 0 && global_shape == nullptr)) {
      return Error(Code::kInvalidArgument, "global_shape is NULL, or ndim {} is not 0 to {}", ndim,
                   dcp::kMaxDims);
    }
    if (count > 0 && (shards == nullptr || (ndim > 0 && offsets == nullptr))) {
      return Error(Code::kInvalidArgument, "shards or offsets is NULL");
    }
    size_t n = static_cast<size_t>(ndim);
    dcp::ShardedTensor sharded;
    sharded.dtype = static_cast<dcp::DType>(dtype);
    sharded.global_shape.assign(global_shape, global_shape + n);
    DCP_ASSIGN_OR_RETURN([[maybe_unused]] int64_t elements, dcp::NumElements(sharded.global_shape));
    for (size_t i = 0; i < count; ++i) {
      DCP_RETURN_IF_ERROR(CheckHandle(shards[i], "shards"));
      const dcp::Tensor& tensor = shards[i]->tensor;
      if (tensor.dtype != sharded.dtype || tensor.shape.size() != n) {
        return Error(Code::kMismatch, "shard {} is {} {}, the sharded tensor {} with {} dimensions",
                     i, dcp::DTypeName(tensor.dtype), dcp::ToString(tensor.shape),
                     dcp::DTypeName(sharded.dtype), n);
      }
      dcp::Shape at(offsets + i * n, offsets + (i + 1) * n);
      for (size_t d = 0; d < n; ++d) {
        if (at[d] < 0 || tensor.shape[d] > sharded.global_shape[d] ||
            at[d] > sharded.global_shape[d] - tensor.shape[d]) {
          return Error(Code::kInvalidArgument, "shard {} of shape {} at {} is outside shape {}", i,
                       dcp::ToString(tensor.shape), dcp::ToString(at),
                       dcp::ToString(sharded.global_shape));
        }
      }
      sharded.requires_grad = sharded.requires_grad || tensor.requires_grad;
      sharded.shards.push_back({std::move(at), tensor});
    }
    return Value::Of(std::move(sharded));
  });
}

dcp_status dcp_value_opaque(const char* global_name, const void* pickled, size_t size,
                            dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (global_name == nullptr || pickled == nullptr || size == 0) {
      return Error(Code::kInvalidArgument, "global_name or pickled is NULL or empty");
    }
    return Value::OpaqueOf(global_name,
                           std::make_shared<std::string>(static_cast<const char*>(pickled), size));
  });
}

dcp_status dcp_value_constructed(const char* global_name, const dcp_value* arguments,
                                 const dcp_value* state, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    if (global_name == nullptr) return Error(Code::kInvalidArgument, "global_name is NULL");
    if (arguments != nullptr) {
      DCP_RETURN_IF_ERROR(CheckKind(arguments, {ValueKind::kTuple}, "arguments"));
    }
    if (state != nullptr) DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    const dcp::KnownGlobal* known = dcp::FindKnownGlobal(global_name);
    const uint8_t wanted =
        arguments == nullptr ? dcp::kGlobalName : dcp::kGlobalCall | dcp::kGlobalNew;
    if (known == nullptr || !StaysConstructed(*known) || !(known->uses & wanted) ||
        (state != nullptr && !(known->uses & dcp::kGlobalState))) {
      return Error(Code::kUnsupported, "'{}' is not on the list of plain constructors",
                   dcp::PrintableName(global_name))
          .WithDetail("global", global_name);
    }
    auto value = std::make_shared<Value>();
    value->kind = ValueKind::kConstructed;
    value->constructed = std::make_shared<dcp::Constructed>(
        dcp::Constructed{global_name, arguments == nullptr ? nullptr : arguments->value,
                         state == nullptr ? nullptr : state->value});
    return ValuePtr(std::move(value));
  });
}

dcp_status dcp_value_get_bool(const dcp_value* value, int32_t* out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kBool}, "get_bool"));
    *out = value->value->boolean ? 1 : 0;
    return Status::Ok();
  });
}

dcp_status dcp_value_get_int(const dcp_value* value, int64_t* out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kInt}, "get_int"));
    if (!value->value->ToInt64(out)) {
      return Error(Code::kLimit, "the integer needs {} bytes: read it with dcp_value_get_text",
                   value->value->text.size());
    }
    return Status::Ok();
  });
}

dcp_status dcp_value_get_float(const dcp_value* value, double* out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kFloat}, "get_float"));
    *out = value->value->real;
    return Status::Ok();
  });
}

dcp_status dcp_value_get_complex(const dcp_value* value, double* real, double* imaginary,
                                 dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(real, "real"));
    DCP_RETURN_IF_ERROR(CheckOut(imaginary, "imaginary"));
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kComplex}, "get_complex"));
    *real = value->value->real;
    *imaginary = value->value->imaginary;
    return Status::Ok();
  });
}

dcp_status dcp_value_get_text(const dcp_value* value, const char** bytes, size_t* size,
                              dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(bytes, "bytes"));
    DCP_RETURN_IF_ERROR(CheckOut(size, "size"));
    DCP_RETURN_IF_ERROR(
        CheckKind(value,
                  {ValueKind::kString, ValueKind::kBytes, ValueKind::kByteArray, ValueKind::kInt,
                   ValueKind::kDType, ValueKind::kDevice, ValueKind::kLayout,
                   ValueKind::kMemoryFormat, ValueKind::kPath, ValueKind::kOpaque},
                  "get_text"));
    std::string_view text = value->value->kind == ValueKind::kOpaque
                                ? std::string_view(*value->value->opaque->pickled)
                                : std::string_view(value->value->text);
    constexpr std::string_view kModule = "torch.";  // dcp.h names dtypes without it, both ways
    if (value->value->kind == ValueKind::kDType && text.starts_with(kModule)) {
      text.remove_prefix(kModule.size());
    }
    *bytes = text.data();
    *size = text.size();
    return Status::Ok();
  });
}

dcp_status dcp_value_get_global(const dcp_value* value, const char** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    DCP_RETURN_IF_ERROR(CheckKind(
        value, {ValueKind::kOpaque, ValueKind::kPath, ValueKind::kConstructed}, "get_global"));
    const Value& v = *value->value;
    *out = v.kind == ValueKind::kOpaque ? v.opaque->global.c_str()
           : v.kind == ValueKind::kPath ? v.name.c_str()
                                        : v.constructed->global.c_str();
    return Status::Ok();
  });
}

size_t dcp_value_count(const dcp_value* value) {
  if (value == nullptr || value->forked()) return 0;
  const Value& v = *value->value;
  if (v.is_mapping() || !v.entries.empty()) return v.entries.size();
  if (v.kind == ValueKind::kSize) return v.size.size();
  if (v.kind == ValueKind::kShardedTensor) return v.sharded->shards.size();
  return v.items.size();
}

dcp_status dcp_value_at(const dcp_value* value, size_t index, dcp_value** out, dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    DCP_RETURN_IF_ERROR(CheckHandle(value, "value"));
    const Value& v = *value->value;
    if (index < v.entries.size()) return v.entries[index].second;
    if (index < v.items.size()) return v.items[index];
    return Error(Code::kInvalidArgument, "index {} is out of range", index);
  });
}

dcp_status dcp_value_key_at(const dcp_value* value, size_t index, dcp_value** out,
                            dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    DCP_RETURN_IF_ERROR(CheckKind(
        value, {ValueKind::kDict, ValueKind::kOrderedDict, ValueKind::kConstructed}, "key_at"));
    if (index >= value->value->entries.size()) {
      return Error(Code::kInvalidArgument, "index {} is out of range", index);
    }
    return value->value->entries[index].first;
  });
}

dcp_status dcp_value_find(const dcp_value* value, const char* key, size_t key_size, dcp_value** out,
                          dcp_error** error) {
  return Made(out, error, [&]() -> dcp::Result<ValuePtr> {
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kDict, ValueKind::kOrderedDict}, "find"));
    if (key == nullptr && key_size > 0) return Error(Code::kInvalidArgument, "key is NULL");
    std::string_view name(key == nullptr ? "" : key, key_size);
    const ValuePtr* found = value->value->Find(name);
    if (found == nullptr) {
      return Error(Code::kNotFound, "no key '{}' in the dict", dcp::PrintableName(name));
    }
    return *found;
  });
}

dcp_status dcp_value_get_sizes(const dcp_value* value, const int64_t** sizes, size_t* count,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(sizes, "sizes"));
    DCP_RETURN_IF_ERROR(CheckOut(count, "count"));
    DCP_RETURN_IF_ERROR(
        CheckKind(value, {ValueKind::kSize, ValueKind::kShardedTensor}, "get_sizes"));
    const dcp::Shape& shape = value->value->kind == ValueKind::kSize
                                  ? value->value->size
                                  : value->value->sharded->global_shape;
    *sizes = shape.data();
    *count = shape.size();
    return Status::Ok();
  });
}

dcp_status dcp_value_get_tensor(const dcp_value* value, size_t index, dcp_tensor** out,
                                dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckKind(value,
                                  {ValueKind::kTensor, ValueKind::kNumpyArray,
                                   ValueKind::kNumpyScalar, ValueKind::kShardedTensor},
                                  "get_tensor"));
    const Value& v = *value->value;
    if (v.kind == ValueKind::kShardedTensor) {
      if (index >= v.sharded->shards.size()) {
        return Error(Code::kInvalidArgument, "index {} is out of range", index);
      }
      *out = new dcp_tensor(v.sharded->shards[index].tensor);
    } else {
      *out = new dcp_tensor(v.tensor);
    }
    return Status::Ok();
  });
}

dcp_status dcp_value_get_dtype(const dcp_value* value, int32_t* out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kShardedTensor}, "get_dtype"));
    *out = static_cast<int32_t>(value->value->sharded->dtype);
    return Status::Ok();
  });
}

dcp_status dcp_value_get_offsets(const dcp_value* value, size_t index, const int64_t** offsets,
                                 size_t* count, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(offsets, "offsets"));
    DCP_RETURN_IF_ERROR(CheckOut(count, "count"));
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kShardedTensor}, "get_offsets"));
    const auto& shards = value->value->sharded->shards;
    if (index >= shards.size()) {
      return Error(Code::kInvalidArgument, "index {} is out of range", index);
    }
    *offsets = shards[index].offsets.data();
    *count = shards[index].offsets.size();
    return Status::Ok();
  });
}

dcp_status dcp_value_get_constructed(const dcp_value* value, dcp_value** arguments,
                                     dcp_value** state, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(arguments, "arguments"));
    DCP_RETURN_IF_ERROR(CheckOut(state, "state"));
    *arguments = nullptr;
    *state = nullptr;
    DCP_RETURN_IF_ERROR(CheckKind(value, {ValueKind::kConstructed}, "get_constructed"));
    const dcp::Constructed& c = *value->value->constructed;
    auto first = c.arguments == nullptr ? nullptr : std::make_unique<dcp_value>(c.arguments);
    if (c.state != nullptr) *state = new dcp_value(c.state);
    *arguments = first.release();
    return Status::Ok();
  });
}

int32_t dcp_value_equal(const dcp_value* a, const dcp_value* b) {
  if (a == nullptr || b == nullptr) return a == b ? 1 : 0;
  if (a->forked() || b->forked()) return 0;
  try {
    return dcp::Equal(*a->value, *b->value) ? 1 : 0;
  } catch (...) {
    return 0;
  }
}

dcp_status dcp_value_to_string(const dcp_value* value, char** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(value, "value"));
    std::string text = dcp::ToString(*value->value);
    char* copy = new char[text.size() + 1];
    std::memcpy(copy, text.c_str(), text.size() + 1);
    *out = copy;
    return Status::Ok();
  });
}

void dcp_value_free(dcp_value* value) { dcp::c_api::Free(value); }

void dcp_string_free(char* string) { delete[] string; }

}  // extern "C"
