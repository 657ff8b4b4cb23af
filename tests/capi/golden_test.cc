// Every checkpoint in tests/fixtures/golden that torch.distributed.checkpoint wrote, through dcp.h
// alone: each tensor's dtype, shape and SHA-256 and each object, as its expected.json has them.
#include <dcp.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "support/checks.h"
#include "support/sha256.h"

namespace {

using Json = nlohmann::json;

// Not written by DCP's file system writer.
const std::set<std::string> kOtherFormats = {"torch_save", "hf", "hf_sharded"};

int tensors_seen = 0;
int objects_seen = 0;

// Takes the error.
std::string Text(dcp_error* error) {
  std::string text = dcp_error_message(error);
  dcp_error_free(error);
  return text;
}

#define TRY_DCP(call)                         \
  do {                                        \
    dcp_error* error = nullptr;               \
    if ((call) != DCP_OK) return Text(error); \
  } while (0)

// stream.rot13 of the fixtures: swaps the case of ASCII letters.
dcp_status Start(void*, int32_t, const char*, void** stream, dcp_error**) {
  *stream = nullptr;
  return DCP_OK;
}
dcp_status Push(void*, void*, const void* data, size_t size, dcp_byte_sink write, void* sink,
                dcp_error**) {
  std::string bytes(static_cast<const char*>(data), size);
  for (char& c : bytes) {
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) c = static_cast<char>(c ^ 0x20);
  }
  return write(sink, bytes.data(), bytes.size());
}
dcp_status Finish(void*, void*, dcp_byte_sink, void*, dcp_error**) { return DCP_OK; }
void End(void*, void*) {}

std::string NewContext(dcp_context** out) {
  dcp_transform_table table = {};
  table.struct_size = sizeof table;
  table.start = Start;
  table.push = Push;
  table.finish = Finish;
  table.end = End;
  TRY_DCP(dcp_context_new(nullptr, out, &error));
  TRY_DCP(dcp_context_add_transform(*out, "stream.rot13", "1", &table, nullptr, &error));
  return {};
}

// As the script that wrote expected.json does.
std::string ToJson(const dcp_value* value, Json* out) {
  const char* bytes = nullptr;
  size_t size = 0;
  switch (dcp_value_kind_of(value)) {
    case DCP_VALUE_NONE:
      *out = nullptr;
      return {};
    case DCP_VALUE_BOOL: {
      int32_t boolean = 0;
      TRY_DCP(dcp_value_get_bool(value, &boolean, &error));
      *out = boolean != 0;
      return {};
    }
    case DCP_VALUE_INT: {
      int64_t integer = 0;
      dcp_error* too_large = nullptr;
      if (dcp_value_get_int(value, &integer, &too_large) == DCP_OK) {
        *out = integer;
        return {};
      }
      dcp_error_free(too_large);
      char* text = nullptr;
      TRY_DCP(dcp_value_to_string(value, &text, &error));
      *out = std::stod(text);  // JSON has such numbers as floats
      dcp_string_free(text);
      return {};
    }
    case DCP_VALUE_FLOAT: {
      double real = 0;
      TRY_DCP(dcp_value_get_float(value, &real, &error));
      *out = std::isinf(real) ? Json{{"$float", real > 0 ? "inf" : "-inf"}} : Json(real);
      return {};
    }
    case DCP_VALUE_STRING:
      TRY_DCP(dcp_value_get_text(value, &bytes, &size, &error));
      *out = std::string(bytes, size);
      return {};
    case DCP_VALUE_BYTES: {
      TRY_DCP(dcp_value_get_text(value, &bytes, &size, &error));
      std::string hex;
      for (size_t i = 0; i < size; ++i)
        hex += fmt::format("{:02x}", static_cast<uint8_t>(bytes[i]));
      *out = {{"$bytes", hex}};
      return {};
    }
    case DCP_VALUE_SIZE: {
      const int64_t* sizes = nullptr;
      TRY_DCP(dcp_value_get_sizes(value, &sizes, &size, &error));
      *out = {{"$tuple", std::vector<int64_t>(sizes, sizes + size)}};
      return {};
    }
    case DCP_VALUE_LIST:
    case DCP_VALUE_TUPLE: {
      Json items = Json::array();
      for (size_t i = 0; i < dcp_value_count(value); ++i) {
        dcp_value* item = nullptr;
        TRY_DCP(dcp_value_at(value, i, &item, &error));
        std::string wrong = ToJson(item, &items.emplace_back());
        dcp_value_free(item);
        if (!wrong.empty()) return wrong;
      }
      *out = dcp_value_kind_of(value) == DCP_VALUE_LIST ? items : Json{{"$tuple", items}};
      return {};
    }
    default: {
      char* text = nullptr;
      TRY_DCP(dcp_value_to_string(value, &text, &error));
      *out = {{"$repr", text}};
      dcp_string_free(text);
      return {};
    }
  }
}

std::string CheckTensor(dcp_checkpoint* checkpoint, const std::string& name, const Json& want) {
  size_t index = 0;
  dcp_tensor* tensor = nullptr;
  TRY_DCP(dcp_checkpoint_find(checkpoint, name.data(), name.size(), &index, &error));
  TRY_DCP(dcp_checkpoint_tensor(checkpoint, index, &tensor, &error));
  dcp_tensor_view view = {};
  view.struct_size = sizeof view;
  TRY_DCP(dcp_tensor_get_view(tensor, &view, &error));
  const std::vector<int64_t> shape(view.shape, view.shape + view.ndim);
  size_t size = static_cast<size_t>(dcp_dtype_size(view.dtype));
  for (int64_t extent : shape) size *= static_cast<size_t>(extent);
  const std::string dtype = dcp_dtype_name(view.dtype);
  const std::string digest = dcp::Sha256Hex(dcp::AsBytes(view.data, size));
  dcp_tensor_free(tensor);
  ++tensors_seen;
  if (dtype != want["dtype"].get<std::string>()) return name + ": dtype " + dtype;
  if (shape != want["shape"].get<std::vector<int64_t>>()) return name + ": shape";
  if (digest != want["sha256"].get<std::string>()) return name + ": sha256 " + digest;
  return {};
}

std::string CheckObject(dcp_checkpoint* checkpoint, const std::string& name, const Json& want) {
  size_t index = 0;
  dcp_value* value = nullptr;
  TRY_DCP(dcp_checkpoint_find(checkpoint, name.data(), name.size(), &index, &error));
  TRY_DCP(dcp_checkpoint_object(checkpoint, index, &value, &error));
  Json got;
  std::string wrong = ToJson(value, &got);
  dcp_value_free(value);
  ++objects_seen;
  if (wrong.empty() && got != want) wrong = got.dump() + " is not " + want.dump();
  return wrong.empty() ? wrong : name + ": " + wrong;
}

std::string CheckCase(dcp_context* context, const std::filesystem::path& folder) {
  std::ifstream file(folder / "expected.json");
  const Json expected = Json::parse(file);
  dcp_storage* storage = nullptr;
  dcp_checkpoint* checkpoint = nullptr;
  TRY_DCP(dcp_storage_open((folder / "ckpt").c_str(), nullptr, &storage, &error));
  TRY_DCP(dcp_checkpoint_open(context, storage, nullptr, &checkpoint, &error));
  std::string wrong;
  for (const auto& [name, want] : expected["tensors"].items()) {
    if (wrong.empty()) wrong = CheckTensor(checkpoint, name, want);
  }
  for (const auto& [name, want] : expected["objects"].items()) {
    if (wrong.empty()) wrong = CheckObject(checkpoint, name, want);
  }
  dcp_verify_report* report = nullptr;
  TRY_DCP(dcp_checkpoint_verify(checkpoint, nullptr, nullptr, nullptr, &report, &error));
  if (dcp_verify_report_unchecked(report) != 0) wrong += " not everything had a checksum";
  dcp_verify_report_free(report);
  dcp_checkpoint_free(checkpoint);
  dcp_storage_free(storage);
  return wrong;
}

std::string EveryGoldenCase() {
  dcp_context* context = nullptr;
  std::string wrong = NewContext(&context);
  if (!wrong.empty()) return wrong;
  int cases = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(DCP_FIXTURES "/golden")) {
    const std::filesystem::path folder = entry.path().parent_path();
    if (entry.path().filename() != "expected.json") continue;
    if (kOtherFormats.contains(folder.filename().string())) continue;
    const std::string one = CheckCase(context, folder);
    if (!one.empty()) wrong += fmt::format("\n{}: {}", folder.string(), one);
    ++cases;
  }
  dcp_context_free(context);
  print_message("%d checkpoints, %d tensors, %d objects\n", cases, tensors_seen, objects_seen);
  if (cases < 30) return "the fixtures are not there";
  return wrong;
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(dcp::Checked<EveryGoldenCase>)};
  return cmocka_run_group_tests_name("capi/golden", tests, nullptr, nullptr);
}
