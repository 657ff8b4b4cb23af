#include "cli/value_json.h"

#include <cmath>
#include <string>
#include <string_view>

#include "cli/text.h"

namespace dcp::cli {
namespace {

constexpr int kMaxDepth = 200;
constexpr uint64_t kMaxParts = 1000000;

class Writer {
 public:
  Failure Write(const dcp_value* value, int depth, Json* out) {
    if (depth > kMaxDepth) return Failure(DCP_LIMIT, "the value is nested too deep for JSON");
    if (++parts_ > kMaxParts) return Failure(DCP_LIMIT, "the value has too many parts for JSON");
    switch (dcp_value_kind_of(value)) {
      case DCP_VALUE_NONE:
        *out = nullptr;
        return Failure();
      case DCP_VALUE_BOOL:
        return Bool(value, out);
      case DCP_VALUE_INT:
        return Int(value, out);
      case DCP_VALUE_FLOAT:
        return Float(value, out);
      case DCP_VALUE_COMPLEX:
        return Complex(value, out);
      case DCP_VALUE_STRING:
      case DCP_VALUE_BYTES:
      case DCP_VALUE_BYTEARRAY:
      case DCP_VALUE_DTYPE:
      case DCP_VALUE_DEVICE:
      case DCP_VALUE_LAYOUT:
      case DCP_VALUE_MEMORY_FORMAT:
      case DCP_VALUE_PATH:
        return Text(value, out);
      case DCP_VALUE_LIST:
        return Sequence(value, nullptr, depth, out);
      case DCP_VALUE_TUPLE:
        return Sequence(value, "$tuple", depth, out);
      case DCP_VALUE_SET:
        return Sequence(value, "$set", depth, out);
      case DCP_VALUE_FROZENSET:
        return Sequence(value, "$frozenset", depth, out);
      case DCP_VALUE_DICT:
      case DCP_VALUE_ORDERED_DICT:
        return Dict(value, depth, out);
      case DCP_VALUE_SIZE:
        return Size(value, out);
      case DCP_VALUE_TENSOR:
      case DCP_VALUE_NUMPY_ARRAY:
      case DCP_VALUE_NUMPY_SCALAR:
        return Tensor(value, out);
      case DCP_VALUE_CONSTRUCTED:
        return Constructed(value, depth, out);
      case DCP_VALUE_OPAQUE:
        return Opaque(value, out);
      default:
        return Repr(value, out);
    }
  }

 private:
  static Failure Bool(const dcp_value* value, Json* out) {
    int32_t boolean = 0;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_bool(value, &boolean, error); });
    *out = boolean != 0;
    return failure;
  }

  static Failure Int(const dcp_value* value, Json* out) {
    int64_t integer = 0;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_int(value, &integer, error); });
    if (failure.status() == DCP_LIMIT) return Printed(value, "$int", out);
    *out = integer;
    return failure;
  }

  static Failure Float(const dcp_value* value, Json* out) {
    double real = 0;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_float(value, &real, error); });
    *out = NumberJson(real);
    return failure;
  }

  static Failure Complex(const dcp_value* value, Json* out) {
    double real = 0, imaginary = 0;
    Failure failure = Try(
        [&](dcp_error** error) { return dcp_value_get_complex(value, &real, &imaginary, error); });
    *out = ComplexJson(real, imaginary);
    return failure;
  }

  static Failure Text(const dcp_value* value, Json* out) {
    const char* bytes = nullptr;
    size_t size = 0;
    if (Failure failure = Try(
            [&](dcp_error** error) { return dcp_value_get_text(value, &bytes, &size, error); })) {
      return failure;
    }
    std::string text(bytes, size);
    switch (dcp_value_kind_of(value)) {
      case DCP_VALUE_STRING:
        if (IsUtf8(text)) {
          *out = text;
        } else {
          (*out)["$string_hex"] = Hex(text);
        }
        break;
      case DCP_VALUE_BYTES:
        (*out)["$bytes"] = Hex(text);
        break;
      case DCP_VALUE_BYTEARRAY:
        (*out)["$bytearray"] = Hex(text);
        break;
      case DCP_VALUE_DTYPE:
        (*out)["$dtype"] = text.starts_with("torch.") ? text.substr(6) : text;
        break;
      case DCP_VALUE_DEVICE:
        (*out)["$device"] = text;
        break;
      case DCP_VALUE_PATH:
        (*out)["$path"] = text;
        break;
      default:
        (*out)["$repr"] = text;
        break;
    }
    return Failure();
  }

  Failure Sequence(const dcp_value* value, const char* tag, int depth, Json* out) {
    Json items = Json::array();
    for (size_t i = 0; i < dcp_value_count(value); ++i) {
      ValueHandle item;
      Json json;
      if (Failure failure =
              Try([&](dcp_error** error) { return dcp_value_at(value, i, Out(item), error); })) {
        return failure;
      }
      if (Failure failure = Write(item.get(), depth + 1, &json)) return failure;
      items.push_back(std::move(json));
    }
    if (tag == nullptr) {
      *out = std::move(items);
    } else {
      (*out)[tag] = std::move(items);
    }
    return Failure();
  }

  // A JSON object when every key is text that cannot be taken for a tag, else pairs.
  Failure Dict(const dcp_value* value, int depth, Json* out) {
    Json pairs = Json::array();
    bool plain = true;
    for (size_t i = 0; i < dcp_value_count(value); ++i) {
      ValueHandle key, item;
      Json key_json, item_json;
      Failure failure =
          Try([&](dcp_error** error) { return dcp_value_key_at(value, i, Out(key), error); });
      if (failure) return failure;
      failure = Try([&](dcp_error** error) { return dcp_value_at(value, i, Out(item), error); });
      if (failure) return failure;
      failure = Write(key.get(), depth + 1, &key_json);
      if (failure) return failure;
      failure = Write(item.get(), depth + 1, &item_json);
      if (failure) return failure;
      plain =
          plain && key_json.is_string() && !key_json.get_ref<const std::string&>().starts_with('$');
      pairs.push_back(Json::array({std::move(key_json), std::move(item_json)}));
    }
    if (!plain) {
      (*out)["$dict"] = std::move(pairs);
      return Failure();
    }
    *out = Json::object();
    auto& object = out->get_ref<Json::object_t&>();
    for (Json& pair : pairs) {
      object.emplace_back(pair[0].get<std::string>(), std::move(pair[1]));
    }
    return Failure();
  }

  static Failure Size(const dcp_value* value, Json* out) {
    const int64_t* sizes = nullptr;
    size_t count = 0;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_sizes(value, &sizes, &count, error); });
    if (!failure) (*out)["$size"] = std::vector<int64_t>(sizes, sizes + count);
    return failure;
  }

  static Failure Tensor(const dcp_value* value, Json* out) {
    TensorHandle tensor;
    dcp_tensor_view view = {};
    view.struct_size = sizeof view;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_tensor(value, 0, Out(tensor), error); });
    if (failure) return failure;
    failure =
        Try([&](dcp_error** error) { return dcp_tensor_get_view(tensor.get(), &view, error); });
    if (failure) return failure;
    const char* name = dcp_dtype_name(view.dtype);
    (*out)["$tensor"] = {{"dtype", name == nullptr ? "" : name},
                         {"shape", std::vector<int64_t>(view.shape, view.shape + view.ndim)}};
    return Failure();
  }

  Failure Constructed(const dcp_value* value, int depth, Json* out) {
    const char* global = nullptr;
    ValueHandle arguments, state;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_global(value, &global, error); });
    if (failure) return failure;
    failure = Try([&](dcp_error** error) {
      return dcp_value_get_constructed(value, Out(arguments), Out(state), error);
    });
    if (failure) return failure;
    Json arguments_json, state_json;
    failure = Sequence(arguments.get(), nullptr, depth, &arguments_json);
    if (failure) return failure;
    if (state != nullptr) {
      failure = Write(state.get(), depth + 1, &state_json);
      if (failure) return failure;
    }
    (*out)["$call"] = {{"global", global}, {"arguments", arguments_json}, {"state", state_json}};
    return Failure();
  }

  static Failure Opaque(const dcp_value* value, Json* out) {
    const char* global = nullptr;
    const char* bytes = nullptr;
    size_t size = 0;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_get_global(value, &global, error); });
    if (failure) return failure;
    failure =
        Try([&](dcp_error** error) { return dcp_value_get_text(value, &bytes, &size, error); });
    (*out)["$opaque"] = {{"global", global}, {"bytes", size}};
    return failure;
  }

  static Failure Printed(const dcp_value* value, const char* tag, Json* out) {
    StringHandle text;
    Failure failure =
        Try([&](dcp_error** error) { return dcp_value_to_string(value, Out(text), error); });
    if (!failure) (*out)[tag] = text.get();
    return failure;
  }
  static Failure Repr(const dcp_value* value, Json* out) { return Printed(value, "$repr", out); }

  uint64_t parts_ = 0;
};

}  // namespace

Json NumberJson(double real) {
  if (std::isfinite(real)) return real;
  return {{"$float", std::isnan(real) ? "nan" : real > 0 ? "inf" : "-inf"}};
}

Json ComplexJson(double real, double imaginary) {
  return {{"$complex", Json::array({NumberJson(real), NumberJson(imaginary)})}};
}

Failure ValueJson(const dcp_value* value, Json* out) { return Writer().Write(value, 0, out); }

}  // namespace dcp::cli
