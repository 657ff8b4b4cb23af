// Every .metadata that real PyTorch wrote, against what its checkpoint is known to hold.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "metadata/codec.h"
#include "support/cmocka.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

struct Case {
  fs::path folder;
  Metadata metadata;
};

std::string Load(const fs::path& folder, Metadata* out) {
  fs::path global = folder / "ckpt" / ".metadata";
  if (fs::exists(global)) {
    std::string bytes = ReadAll(global);
    Result<Metadata> decoded = DecodeMetadata(AsBytes(bytes), global.string());
    CHECK_OK(decoded);
    *out = *std::move(decoded);
    return {};
  }
  std::vector<Metadata> ranks;
  for (int rank = 0;; ++rank) {
    fs::path local = folder / "ckpt" / fmt::format("__{}.metadata", rank);
    if (!fs::exists(local)) break;
    std::string bytes = ReadAll(local);
    Result<Metadata> decoded = DecodeMetadata(AsBytes(bytes), local.string());
    CHECK_OK(decoded);
    ranks.push_back(*std::move(decoded));
  }
  Result<Metadata> merged = MergeRankMetadata(std::move(ranks));
  CHECK_OK(merged);
  *out = *std::move(merged);
  return {};
}

std::string CheckFiles(const Metadata& metadata, const fs::path& folder) {
  for (const Entry& entry : metadata.entries) {
    for (const Location& location : entry.locations) {
      CHECK_THAT(!location.missing());
      fs::path file = folder / "ckpt" / metadata.files[location.file];
      CHECK_THAT(location.offset + location.length <= fs::file_size(file));
      CHECK_THAT(location.length > 0);
    }
  }
  return {};
}

std::string CheckCase(const fs::path& folder, const nlohmann::json& expected) {
  Metadata metadata;
  std::string problem = Load(folder, &metadata);
  if (!problem.empty()) return problem;
  CHECK_THAT(metadata.notes.empty());
  CHECK_THAT(!metadata.checksummed);
  size_t known = 0;
  for (const auto& [name, tensor] : expected["tensors"].items()) {
    std::optional<size_t> id = metadata.Find(name);
    if (!id) return fmt::format("{} is missing", name);
    const Entry& entry = metadata.entries[*id];
    CHECK_THAT(entry.kind == EntryKind::kTensor && entry.unknown_dtype.empty());
    CHECK_THAT(DTypeName(entry.properties.dtype) == tensor["dtype"].get<std::string>());
    CHECK_THAT(entry.size == tensor["shape"].get<std::vector<int64_t>>());
    int64_t volume = 0;
    for (size_t i = 0; i < entry.chunk_count(); ++i) volume += *NumElements(entry.chunk(i).sizes);
    CHECK_THAT(volume == *NumElements(entry.size));
    ++known;
  }
  for (const auto& [name, object] : expected["objects"].items()) {
    std::optional<size_t> id = metadata.Find(name);
    if (!id) return fmt::format("{} is missing", name);
    CHECK_THAT(metadata.entries[*id].kind == EntryKind::kBytes);
    ++known;
  }
  // The older fixtures list only some of what they hold.
  std::string torch = expected["torch"].get<std::string>();
  bool complete = torch.starts_with("2.13") || torch.starts_with("2.15");
  CHECK_THAT(!complete || known == metadata.entries.size());
  CHECK_THAT(metadata.planner_data && metadata.planner_data->size() == metadata.entries.size());
  CHECK_THAT(torch.starts_with("2.1.") == !metadata.storage_meta.has_value());
  if (metadata.storage_meta) {
    CHECK_THAT(metadata.storage_meta->checkpoint_id.has_value());
    CHECK_THAT(metadata.storage_meta->checkpoint_id->ends_with("/ckpt"));
    CHECK_THAT(metadata.storage_meta->save_id && metadata.storage_meta->save_id->size() == 36);
  }
  std::vector<std::string> transforms = expected.value("transforms", std::vector<std::string>());
  CHECK_THAT(transforms.empty() == (metadata.transform_sets.size() == 1));
  return CheckFiles(metadata, folder);
}

std::string AllFixtures() {
  size_t count = 0;
  for (const auto& at : fs::recursive_directory_iterator(fs::path(DCP_FIXTURES) / "golden")) {
    if (at.path().filename() != "expected.json") continue;
    fs::path folder = at.path().parent_path();
    if (!fs::exists(folder / "ckpt/.metadata") && !fs::exists(folder / "ckpt/__0.metadata")) {
      continue;  // torch.save files and safetensors
    }
    std::string problem = CheckCase(folder, nlohmann::json::parse(ReadAll(at.path())));
    if (!problem.empty()) return folder.string() + ": " + problem;
    ++count;
  }
  CHECK_THAT(count >= 30);
  return {};
}

std::string ShardedOf21() {
  std::string bytes =
      ReadAll(fs::path(DCP_FIXTURES) / "golden/torch-2.1/w2/sharded/ckpt/.metadata");
  Result<Metadata> metadata = DecodeMetadata(AsBytes(bytes), ".metadata");
  CHECK_OK(metadata);
  CHECK_THAT(metadata->entries.size() == 3 && metadata->entries[0].name == "sharded");
  const Entry& sharded = metadata->entries[0];
  CHECK_THAT(sharded.boxes == (Shape{0, 0, 5, 6, 5, 0, 5, 6}));
  CHECK_THAT(sharded.locations[0].offset == 864 && sharded.locations[0].length == 1244);
  CHECK_THAT(metadata->files == (std::vector<std::string>{"__0_0.distcp", "__1_0.distcp"}));
  CHECK_THAT(metadata->files[sharded.locations[1].file] == "__1_0.distcp");
  CHECK_THAT(!metadata->version);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      {"AllFixtures", dcp::Checked<dcp::AllFixtures>, nullptr, nullptr, nullptr},
      {"ShardedOf21", dcp::Checked<dcp::ShardedOf21>, nullptr, nullptr, nullptr},
  };
  return cmocka_run_group_tests_name("metadata/golden", tests, nullptr, nullptr);
}
