#include "zip/layout.h"

#include <algorithm>

#include "base/checksum.h"
#include "support/cmocka.h"
#include "support/fixture_items.h"
#include "zip/archive.h"

namespace dcp {
namespace {

// `head`, then zeros, then `tail`: archives of several GiB without the memory.
class HollowSource final : public ByteSource {
 public:
  HollowSource(std::string head, uint64_t hole, std::string tail)
      : head_(std::move(head)), hole_(hole), tail_(std::move(tail)) {}
  uint64_t size() const override { return head_.size() + hole_ + tail_.size(); }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    if (offset > size() || out.size() > size() - offset) return Error(Code::kCorrupt, "outside");
    for (std::byte& byte : out) {
      char c = 0;
      if (offset < head_.size()) {
        c = head_[offset];
      } else if (offset >= head_.size() + hole_) {
        c = tail_[offset - head_.size() - hole_];
      }
      byte = static_cast<std::byte>(c);
      ++offset;
    }
    return Status::Ok();
  }

 private:
  std::string head_;
  uint64_t hole_;
  std::string tail_;
};

// Writes again what `source` holds, except data of more than 1 MiB. "" when it cannot be opened.
std::string Rebuild(const ByteSource& source, std::string* error) {
  Result<zip::Archive> archive = zip::Archive::Open(&source);
  if (!archive.ok()) {
    *error = archive.status().ToString();
    return "";
  }
  std::string out;
  zip::LayoutWriter writer(archive->prefix());
  for (const zip::Record& record : archive->records()) {
    std::string_view name = std::string_view(record.name).substr(archive->prefix().size());
    uint64_t begin = writer.position();
    size_t before = out.size();
    writer.BeginRecord(name, record.size, &out);
    if (out.size() - before !=
            zip::LayoutWriter::HeaderSize(begin, record.name.size(), record.size) ||
        begin != record.header_offset) {
      *error = "header of " + record.name;
    }
    if (record.size <= 1 << 20) {
      Result<std::string> data = archive->Read(record, record.size);
      if (!data.ok()) *error = data.status().ToString();
      if (data.ok()) out += *data;
    }
    before = out.size();
    writer.EndRecord(record.crc32, &out);
    if (out.size() - before != zip::LayoutWriter::DescriptorSize(begin, record.size)) {
      *error = "descriptor of " + record.name;
    }
  }
  uint64_t directory = writer.DirectorySize();
  size_t before = out.size();
  writer.Finish(&out);
  if (out.size() - before != directory) *error = "directory size";
  if (writer.position() != source.size()) *error = "position";
  return out;
}

// torch 2.1 and 2.4 write fewer records but the same layout.
void EveryStockItemIsRebuiltByteForByte(void**) {
  size_t count = 0;
  size_t same = 0;
  std::string error;
  for (const FixtureItem& item : FixtureItems()) {
    std::string bytes = item.Bytes();
    ++count;
    if (Rebuild(MemorySource(AsBytes(bytes)), &error) == bytes) ++same;
  }
  bool clean = error.empty();
  if (!clean) print_message("%s\n", error.c_str());
  std::string().swap(error);
  assert_true(clean);
  assert_true(count > 400);
  assert_int_equal(same, count);
}

void Zip64ItemsAreRebuiltByteForByte(void**) {
  int same = 0;
  std::string error;
  for (uint64_t size : {4294966700u, 4294967294u, 4294967295u}) {
    std::string name = "items/uint8_" + std::to_string(size);
    std::string head = ReadFixture(name + ".prefix");
    std::string tail = ReadFixture(name + ".suffix");
    if (Rebuild(HollowSource(head, size, tail), &error) == head + tail) ++same;
  }
  bool clean = error.empty();
  if (!clean) print_message("%s\n", error.c_str());
  std::string().swap(error);
  assert_true(clean);
  assert_int_equal(same, 3);
}

void ManyRecordsNeedTheZip64Count(void**) {
  std::string bytes;
  zip::LayoutWriter writer("archive/");
  for (int i = 0; i < 65536; ++i) {
    writer.BeginRecord("data/" + std::to_string(i), 0, &bytes);
    writer.EndRecord(0, &bytes);
  }
  writer.Finish(&bytes);
  MemorySource source(AsBytes(bytes));
  Result<zip::Archive> archive = zip::Archive::Open(&source);
  size_t count = archive.ok() ? archive->records().size() : 0;
  bool found = archive.ok() && archive->Find("data/65535") != nullptr;
  std::string().swap(bytes);
  assert_int_equal(count, 65536);
  assert_true(found);
}

void CountingGivesTheSamePositions(void**) {
  std::string bytes;
  zip::LayoutWriter written("archive/");
  zip::LayoutWriter counted("archive/");
  const std::string names[] = {"data.pkl", "byteorder", "data/0", "version"};
  const uint64_t sizes[] = {100, 6, 0, 2};
  bool same = true;
  for (int i = 0; i < 4; ++i) {
    written.BeginRecord(names[i], sizes[i], &bytes);
    bytes.append(sizes[i], 'x');
    written.EndRecord(7, &bytes);
    counted.BeginRecord(names[i], sizes[i], nullptr);
    counted.EndRecord(7, nullptr);
    same = same && written.position() == counted.position() && bytes.size() == written.position();
  }
  std::string directory;
  counted.Finish(&directory);
  written.Finish(&bytes);
  same = same && bytes.ends_with(directory);
  std::string().swap(bytes);
  std::string().swap(directory);
  assert_true(same);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::EveryStockItemIsRebuiltByteForByte),
      cmocka_unit_test(dcp::Zip64ItemsAreRebuiltByteForByte),
      cmocka_unit_test(dcp::ManyRecordsNeedTheZip64Count),
      cmocka_unit_test(dcp::CountingGivesTheSamePositions),
  };
  return cmocka_run_group_tests_name("zip/layout", tests, nullptr, nullptr);
}
