// Every checkpoint in tests/fixtures/golden that torch.distributed.checkpoint wrote: each tensor's
// dtype, shape and SHA-256 and each object, as its expected.json has them.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "catalog/checkpoint.h"
#include "storage/open.h"
#include "support/case_swap.h"
#include "support/checks.h"
#include "support/sha256.h"

namespace dcp {
namespace {

using Json = nlohmann::json;

// Not written by DCP's file system writer.
const std::set<std::string> kOtherFormats = {"torch_save", "hf", "hf_sharded"};

struct Counts {
  int cases = 0;
  int tensors = 0;
  int objects = 0;
};
Counts counts;

double AsDouble(const Value& integer) {
  double value = 0;
  for (size_t i = integer.text.size(); i-- > 0;) {
    bool top = i + 1 == integer.text.size();
    int digit = top ? static_cast<int8_t>(integer.text[i]) : static_cast<uint8_t>(integer.text[i]);
    value = value * 256 + digit;
  }
  return value;
}

std::string Unhex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

bool Matches(const Value& value, const Json& expected);

bool ItemsMatch(const Value& value, const Json& expected) {
  if (value.items.size() != expected.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!Matches(*value.items[i], expected[i])) return false;
  }
  return true;
}

bool Matches(const Value& value, const Json& expected) {
  switch (value.kind) {
    case ValueKind::kNone:
      return expected.is_null();
    case ValueKind::kBool:
      return expected.is_boolean() && expected.get<bool>() == value.boolean;
    case ValueKind::kInt: {
      int64_t small;
      if (!value.ToInt64(&small)) {
        return expected.is_number_float() && expected.get<double>() == AsDouble(value);
      }
      return expected.is_number_integer() && expected.get<int64_t>() == small;
    }
    case ValueKind::kFloat:
      if (expected.is_object() && expected.contains("$float")) {
        return expected["$float"] == "inf" && std::isinf(value.real) && value.real > 0;
      }
      return expected.is_number_float() && expected.get<double>() == value.real;
    case ValueKind::kString:
      return expected.is_string() && expected.get<std::string>() == value.text;
    case ValueKind::kBytes:
      return expected.is_object() && Unhex(expected.value("$bytes", "?")) == value.text;
    case ValueKind::kList:
      return expected.is_array() && ItemsMatch(value, expected);
    case ValueKind::kTuple:
      return expected.is_object() && expected.contains("$tuple") &&
             ItemsMatch(value, expected["$tuple"]);
    default:
      break;
  }
  // A torch.Size is a tuple to whoever writes JSON.
  if (value.kind == ValueKind::kSize && expected.is_object() && expected.contains("$tuple")) {
    return expected["$tuple"].get<std::vector<int64_t>>() == value.size;
  }
  return expected.is_object() && expected.value("$repr", "?") == ToString(value);
}

std::string CheckTensors(Checkpoint& checkpoint, const Json& expected) {
  for (const auto& [name, want] : expected.items()) {
    auto entry = checkpoint.FindEntry(name);
    CHECK_OK(entry);
    uint64_t unverified = 1;
    auto tensor = checkpoint.ReadTensor(**entry, &unverified);
    CHECK_OK(tensor);
    if (DTypeName(tensor->dtype) != want["dtype"].get<std::string>()) return name + ": dtype";
    if (tensor->shape != want["shape"].get<std::vector<int64_t>>()) return name + ": shape";
    std::string digest = Sha256Hex(AsBytes(tensor->data, static_cast<size_t>(tensor->num_bytes())));
    if (digest != want["sha256"].get<std::string>()) return name + ": sha256 " + digest;
    if (unverified != 0) return name + ": bytes were not verified";
    ++counts.tensors;
  }
  return {};
}

std::string CheckObjects(Checkpoint& checkpoint, const Json& expected) {
  for (const auto& [name, want] : expected.items()) {
    auto entry = checkpoint.FindEntry(name);
    CHECK_OK(entry);
    auto value = checkpoint.ReadObject(**entry);
    CHECK_OK(value);
    if (!Matches(**value, want)) {
      return fmt::format("{}: {} is not {}", name, ToString(**value), want.dump());
    }
    ++counts.objects;
  }
  return {};
}

std::string CheckRest(Checkpoint& checkpoint, const Json& expected, bool all_listed) {
  if (all_listed) {
    CHECK_THAT(checkpoint.metadata().entries.size() ==
               expected["tensors"].size() + expected["objects"].size());
  }
  for (bool nested : {false, true}) {
    auto all = checkpoint.ReadAll(nested);
    CHECK_OK(all);
    CHECK_THAT((*all)->is_mapping());
    CHECK_THAT(nested || (*all)->entries.size() == checkpoint.metadata().entries.size());
  }
  auto verified = checkpoint.Verify({}, CancelToken());
  CHECK_OK(verified);
  for (const Damage& damage : verified->damage) return damage.status.ToString();
  size_t items = 0;
  for (const Entry& entry : checkpoint.metadata().entries) items += entry.chunk_count();
  CHECK_THAT(verified->items_checked == items);
  CHECK_THAT(verified->items_without_checksum == 0);
  return {};
}

std::string CheckCase(const std::filesystem::path& folder) {
  std::ifstream file(folder / "expected.json");
  Json expected = Json::parse(file);
  auto engine = std::make_shared<Engine>();
  engine->EnsurePool();
  CHECK_OK(engine->transforms->Add(NewCaseSwapTransform()));
  auto store = OpenStore((folder / "ckpt").string(), LocalStoreOptions());
  CHECK_OK(store);
  auto checkpoint = Checkpoint::Open(*std::move(store), OpenOptions(), engine);
  CHECK_OK(checkpoint);
  std::string wrong = CheckTensors(**checkpoint, expected["tensors"]);
  if (wrong.empty()) wrong = CheckObjects(**checkpoint, expected["objects"]);
  // The older ones list only part of what they hold.
  std::string torch = expected["torch"];
  bool all_listed = torch.starts_with("2.13") || torch.starts_with("2.15");
  if (wrong.empty()) wrong = CheckRest(**checkpoint, expected, all_listed);
  ++counts.cases;
  return wrong;
}

std::string EveryGoldenCase() {
  std::string wrong;
  std::set<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(DCP_FIXTURES "/golden")) {
    if (entry.path().filename() != "expected.json") continue;
    std::filesystem::path folder = entry.path().parent_path();
    if (!kOtherFormats.contains(folder.filename().string())) folders.insert(folder);
  }
  for (const std::filesystem::path& folder : folders) {
    std::string one = CheckCase(folder);
    if (!one.empty()) wrong += fmt::format("\n{}: {}", folder.string(), one);
  }
  print_message("%d checkpoints, %d tensors, %d objects\n", counts.cases, counts.tensors,
                counts.objects);
  CHECK_THAT(counts.cases >= 20);
  return wrong;
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::EveryGoldenCase>),
  };
  return cmocka_run_group_tests_name("catalog/golden", tests, nullptr, nullptr);
}
