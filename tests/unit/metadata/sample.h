// Metadata to test with, and what it means for two to be the same.
#ifndef DCP_TESTS_UNIT_METADATA_SAMPLE_H_
#define DCP_TESTS_UNIT_METADATA_SAMPLE_H_

#include <string>

#include "metadata/metadata.h"

namespace dcp {

// The object that fixtures/metadata/make_metadata.py calls plain().
inline Metadata PlainMetadata() {
  Metadata m;
  m.files = {"__0_0.distcp", "__1_0.distcp", std::string("../x\0", 5)};
  m.transform_sets = {{}, {"stream.zstd/1"}};
  auto tensor = [&](std::string name, DType dtype, Shape size, std::vector<int64_t> boxes,
                    std::vector<Location> locations) -> Entry& {
    Entry& entry = m.entries.emplace_back();
    entry.name = std::move(name);
    entry.kind = EntryKind::kTensor;
    entry.properties.dtype = dtype;
    entry.size = std::move(size);
    entry.boxes = std::move(boxes);
    entry.locations = std::move(locations);
    return entry;
  };
  auto object = [&](std::string name, Location location) {
    Entry& entry = m.entries.emplace_back();
    entry.name = std::move(name);
    entry.locations = {location};
  };
  tensor("w", DType::kFloat32, {4, 6}, {0, 0, 2, 6, 2, 0, 2, 6}, {{0, 0, 10, 20}, {1, 1, 0, 20}})
      .properties.requires_grad = true;
  tensor("model.0.scale", DType::kBFloat16, {}, {}, {{0, 0, 30, uint64_t{1} << 33}});
  tensor("empty", DType::kInt64, {3, 0}, {0, 0, 3, 0}, {{0, 0, uint64_t{1} << 40, 3}});
  tensor("big", DType::kFloat8E4M3FN, {int64_t{1} << 40, 2, 3, 4}, {5, 0, 0, 0, 70000, 2, 3, 4},
         {{0, 0, 100, 200}})
      .properties.memory_format = MemoryFormat::kChannelsLast;
  object("step", {0, 0, 0, 10});
  object(std::string("na\xc3\xafve\0\xf0\x9f\x98\x80", 11), {1, 0, 20, 5});
  object("", {2, 0, 25, 5});
  auto& data = m.planner_data.emplace();
  for (const Entry& entry : m.entries) data.emplace_back(entry.name, Path{entry.name});
  data[1].second = {std::string("model"), int64_t{0}, std::string("scale")};
  m.storage_meta = StorageMeta{"/data/run 7/ckpt", "save-7", std::nullopt, {"m"}};
  m.version = "1.0.0";
  m.BuildIndex();
  return m;
}

inline bool SameLocation(const Metadata& a, const Location& x, const Metadata& b,
                         const Location& y) {
  if (x.missing() || y.missing()) return x.missing() == y.missing();
  return a.files[x.file] == b.files[y.file] &&
         a.transform_sets[x.transforms] == b.transform_sets[y.transforms] && x.offset == y.offset &&
         x.length == y.length && x.has_crc32 == y.has_crc32 && x.crc32 == y.crc32;
}

// Empty when both say the same about every entry; else what differs. Orders of tables are free.
inline std::string EntryDifference(const Metadata& a, const Metadata& b) {
  if (a.entries.size() != b.entries.size()) return "number of entries";
  for (size_t i = 0; i < a.entries.size(); ++i) {
    const Entry& x = a.entries[i];
    const Entry& y = b.entries[i];
    if (x.name != y.name) return fmt::format("name {}: {} and {}", i, x.name, y.name);
    bool same = x.kind == y.kind && x.unknown_dtype == y.unknown_dtype &&
                x.properties == y.properties && x.size == y.size && x.boxes == y.boxes &&
                x.locations.size() == y.locations.size();
    for (size_t c = 0; same && c < x.locations.size(); ++c) {
      same = SameLocation(a, x.locations[c], b, y.locations[c]);
    }
    if (!same) return "entry " + x.name;
  }
  return {};
}

inline std::string Difference(const Metadata& a, const Metadata& b) {
  if (std::string difference = EntryDifference(a, b); !difference.empty()) return difference;
  if (a.planner_data != b.planner_data) return "planner_data";
  if (a.version != b.version) return "version";
  if (a.storage_meta.has_value() != b.storage_meta.has_value()) return "storage_meta";
  if (a.storage_meta) {
    if (a.storage_meta->checkpoint_id != b.storage_meta->checkpoint_id) return "checkpoint_id";
    if (a.storage_meta->save_id != b.storage_meta->save_id) return "save_id";
    if (a.storage_meta->load_id != b.storage_meta->load_id) return "load_id";
    if (a.storage_meta->modules != b.storage_meta->modules) return "modules";
  }
  return {};
}

}  // namespace dcp

#endif  // DCP_TESTS_UNIT_METADATA_SAMPLE_H_
