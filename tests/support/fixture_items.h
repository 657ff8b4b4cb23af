// Items of checkpoints written by real PyTorch, with what they hold: tests/fixtures/items.
#ifndef DCP_TESTS_SUPPORT_FIXTURE_ITEMS_H_
#define DCP_TESTS_SUPPORT_FIXTURE_ITEMS_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace dcp {

// Empty when there is no such file.
inline std::string ReadFixture(const std::string& path) {
  std::string bytes;
  std::FILE* file = std::fopen((DCP_FIXTURES "/" + path).c_str(), "rb");
  if (file == nullptr) return bytes;
  char buffer[65536];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;) {
    bytes.append(buffer, got);
  }
  std::fclose(file);
  return bytes;
}

inline std::vector<std::string> SplitFields(std::string_view text, char separator) {
  std::vector<std::string> fields;
  while (true) {
    size_t end = text.find(separator);
    fields.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return fields;
    text.remove_prefix(end + 1);
  }
}

struct FixtureItem {
  bool tensor = false;
  std::string file;  // below tests/fixtures/golden
  uint64_t offset = 0;
  uint64_t length = 0;
  std::string dtype;           // tensors: torch's name
  std::vector<int64_t> shape;  // tensors
  uint32_t crc32 = 0;          // tensors: of the row-major bytes
  std::string value;           // objects: as CanonicalText in object_item_test.cc

  std::string Bytes() const { return ReadFixture("golden/" + file).substr(offset, length); }
};

inline std::vector<FixtureItem> FixtureItems() {
  std::vector<FixtureItem> items;
  for (const std::string& line : SplitFields(ReadFixture("items/index.tsv"), '\n')) {
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::string> fields = SplitFields(line, '\t');
    FixtureItem item;
    item.tensor = fields[0] == "tensor";
    item.file = fields[1];
    item.offset = std::stoull(fields[2]);
    item.length = std::stoull(fields[3]);
    if (item.tensor) {
      item.dtype = fields[4];
      for (const std::string& size : SplitFields(fields[5], ',')) {
        if (!size.empty()) item.shape.push_back(std::stoll(size));
      }
      item.crc32 = static_cast<uint32_t>(std::stoul(fields[6], nullptr, 16));
    } else {
      item.value = fields[4];
    }
    items.push_back(item);
  }
  return items;
}

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_FIXTURE_ITEMS_H_
