#include "zip/archive.h"

#include <functional>

#include "base/checksum.h"
#include "support/cmocka.h"
#include "support/fixture_items.h"
#include "zip/format.h"
#include "zip/layout.h"

namespace dcp {
namespace {

using zip::Archive;

// Counts what is read and hides that the bytes are in memory.
class CountingSource final : public ByteSource {
 public:
  explicit CountingSource(std::string_view bytes) : inner_(AsBytes(bytes)) {}
  uint64_t size() const override { return inner_.size(); }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    ++calls;
    read += out.size();
    return inner_.ReadAt(offset, out);
  }
  mutable int calls = 0;
  mutable uint64_t read = 0;

 private:
  MemorySource inner_;
};

struct NewRecord {
  std::string name;
  std::string data;
};

std::string Build(const std::vector<NewRecord>& records) {
  std::string out;
  zip::LayoutWriter writer("archive/");
  for (const NewRecord& record : records) {
    writer.BeginRecord(record.name, record.data.size(), &out);
    out += record.data;
    writer.EndRecord(Crc32(0, AsBytes(record.data)), &out);
  }
  writer.Finish(&out);
  return out;
}

std::string Small() {
  return Build({{"data.pkl", "pickle"}, {"data/0", std::string(100, 'x')}, {"version", "3\n"}});
}

// How opening `bytes` ends, reading every record too; both kinds of source must agree.
Code Outcome(std::string_view bytes) {
  Code codes[2];
  for (int in_memory = 0; in_memory < 2; ++in_memory) {
    MemorySource memory(AsBytes(bytes));
    CountingSource counting(bytes);
    const ByteSource* source = &counting;
    if (in_memory) source = &memory;
    Result<Archive> archive = Archive::Open(source);
    codes[in_memory] = archive.status().code();
    if (!archive.ok()) continue;
    for (const zip::Record& record : archive->records()) {
      Result<std::string> data = archive->Read(record, 1 << 20);
      if (!data.ok()) codes[in_memory] = data.status().code();
    }
  }
  return codes[0] == codes[1] ? codes[0] : Code::kInternal;
}

// Offsets of the parts of an archive made by Build.
struct Parts {
  size_t end, locator, end64, directory;
};
Parts Locate(const std::string& bytes) {
  Parts parts;
  parts.end = bytes.size() - zip::kEndSize;
  parts.locator = parts.end - zip::kLocator64Size;
  parts.end64 = parts.locator - zip::kEnd64Size;
  parts.directory = LoadLe<uint64_t>(AsBytes(bytes).data() + parts.end64 + 48);
  return parts;
}

template <typename T>
void Poke(std::string* bytes, size_t at, T value) {
  StoreLe<T>(reinterpret_cast<std::byte*>(bytes->data()) + at, value);
}

void RecordsAreFoundAndRead(void**) {
  std::string bytes = Small();
  MemorySource source(AsBytes(bytes));
  Result<Archive> archive = Archive::Open(&source);
  bool ok = archive.ok() && archive->prefix() == "archive/" && archive->records().size() == 3;
  std::string version;
  bool checked = false;
  bool absent = false;
  Code too_large = Code::kOk;
  if (ok) {
    absent = archive->Find("data/1") == nullptr && archive->Find("archive/version") == nullptr &&
             archive->Find("") == nullptr && archive->Find("zzz") == nullptr;
    version = *archive->Read(*archive->Find("version"), 100, &checked);
    too_large = archive->Read(*archive->Find("data/0"), 99).status().code();
  }
  bool version_right = version == "3\n";
  std::string().swap(bytes);
  std::string().swap(version);
  assert_true(ok);
  assert_true(version_right);
  assert_true(checked);
  assert_true(absent);
  assert_int_equal(too_large, Code::kLimit);
}

void PythonsLayoutsOpen(void**) {
  int good = 0;
  bool checked_all = true;
  std::string expected;
  for (int i = 0; i < 40 * 256; ++i) expected.push_back(static_cast<char>(i & 255));
  for (const char* name : {"stored", "deflated", "stream"}) {
    std::string bytes = ReadFixture(std::string("items/python_") + name + ".zip");
    for (int in_memory = 0; in_memory < 2; ++in_memory) {
      MemorySource memory(AsBytes(bytes));
      CountingSource counting(bytes);
      const ByteSource* source = &counting;
      if (in_memory) source = &memory;
      Result<Archive> archive = Archive::Open(source);
      if (!archive.ok() || archive->prefix() != "top/") continue;
      bool checked = false;
      Result<std::string> data = archive->Read(*archive->Find("data/0"), 1 << 20, &checked);
      Result<std::string> empty = archive->Read(*archive->Find("empty"), 0);
      checked_all = checked_all && checked;
      if (data.ok() && *data == expected && empty.ok() && empty->empty()) ++good;
    }
  }
  std::string lzma = ReadFixture("items/python_lzma.zip");
  Code unknown_method = Outcome(lzma);
  std::string().swap(lzma);
  std::string().swap(expected);
  assert_int_equal(good, 6);
  assert_true(checked_all);
  assert_int_equal(unknown_method, Code::kUnsupported);
}

void ABigItemNeedsThreeSmallReads(void**) {
  std::string payload(4 << 20, 'p');
  std::string bytes = Build({{"data.pkl", std::string(160, 'x')},
                             {".format_version", "1"},
                             {"byteorder", "little"},
                             {"data/0", payload},
                             {".libdcp/crc32_16k", std::string(1024, 'c')},
                             {"version", "3\n"},
                             {".data/serialization_id", std::string(40, '1')}});
  CountingSource source(bytes);
  Result<Archive> archive = Archive::Open(&source);
  bool ok = archive.ok() && archive->Read(*archive->Find("data.pkl"), 4096).ok();
  int calls = source.calls;
  uint64_t read = source.read;
  std::string().swap(payload);
  std::string().swap(bytes);
  assert_true(ok);
  assert_true(calls <= 3);
  assert_true(read <= 8192 + 2 * 4096);
}

void ASmallItemNeedsOneRead(void**) {
  std::string bytes = Small();
  CountingSource source(bytes);
  Result<Archive> archive = Archive::Open(&source);
  bool ok = archive.ok() && archive->Read(*archive->Find("data/0"), 4096).ok();
  int calls = source.calls;
  std::string().swap(bytes);
  assert_true(ok);
  assert_int_equal(calls, 1);
}

void CommentsAreAllowedAndTrailingBytesAreNot(void**) {
  std::string commented = Small();
  Poke<uint16_t>(&commented, commented.size() - 2, 65535);
  commented.append(65535, 'c');
  std::string trailing = Small() + "x";
  std::string leading = "x" + Small();
  Code codes[] = {Outcome(commented), Outcome(trailing), Outcome(leading), Outcome("")};
  std::string().swap(commented);
  std::string().swap(trailing);
  std::string().swap(leading);
  assert_int_equal(codes[0], Code::kOk);
  assert_int_equal(codes[1], Code::kCorrupt);
  assert_int_equal(codes[2], Code::kCorrupt);
  assert_int_equal(codes[3], Code::kCorrupt);
}

// Each lie alone, in an archive that is else sound.
void LiesAreRefused(void**) {
  struct Lie {
    const char* what;
    Code expected;
    std::function<void(std::string*, const Parts&)> tell;
  };
  const Lie lies[] = {
      {"counts in the end record", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.end + 8, 0x00040004); }},
      {"directory offset in the end record", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.end + 16, 1); }},
      {"directory size in the end record", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.end + 12, 1); }},
      {"locator far away", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint64_t>(b, p.locator + 8, ~0ull - 7); }},
      {"locator elsewhere", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint64_t>(b, p.locator + 8, 0); }},
      {"ZIP64 end record's size", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint64_t>(b, p.end64 + 4, ~0ull); }},
      {"ZIP64 counts", Code::kCorrupt,
       [](std::string* b, const Parts& p) {
         Poke<uint64_t>(b, p.end64 + 24, 1ull << 60);
         Poke<uint64_t>(b, p.end64 + 32, 1ull << 60);
         Poke<uint32_t>(b, p.end + 8, 0xffffffff);
       }},
      {"ZIP64 directory wraps", Code::kCorrupt,
       [](std::string* b, const Parts& p) {
         Poke<uint64_t>(b, p.end64 + 40, ~0ull);
         Poke<uint64_t>(b, p.end64 + 48, 2);
         Poke<uint64_t>(b, p.end + 12, ~0ull);
       }},
      {"second disk", Code::kUnsupported,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.locator + 16, 2); }},
      {"encrypted", Code::kUnsupported,
       [](std::string* b, const Parts& p) { Poke<uint16_t>(b, p.directory + 8, 0x0809); }},
      {"method", Code::kUnsupported,
       [](std::string* b, const Parts& p) { Poke<uint16_t>(b, p.directory + 10, 12); }},
      {"stored sizes differ", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.directory + 24, 7); }},
      {"both sizes too large", Code::kCorrupt,
       [](std::string* b, const Parts& p) {
         Poke<uint32_t>(b, p.directory + 20, 4000);
         Poke<uint32_t>(b, p.directory + 24, 4000);
       }},
      {"sizes of 4 GiB and no ZIP64 field", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint64_t>(b, p.directory + 20, ~0ull); }},
      {"smaller than the descriptor says", Code::kCorrupt,
       [](std::string* b, const Parts& p) {
         Poke<uint32_t>(b, p.directory + 20, 5);
         Poke<uint32_t>(b, p.directory + 24, 5);
       }},
      {"bomb", Code::kLimit,
       [](std::string* b, const Parts& p) {
         Poke<uint16_t>(b, p.directory + 10, 8);
         Poke<uint32_t>(b, p.directory + 24, 1 << 30);
       }},
      {"header offset inside another record", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.directory + 42, 40); }},
      {"header offset behind the directory", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.directory + 42, 1 << 20); }},
      {"name", Code::kCorrupt,
       [](std::string* b, const Parts& p) { (*b)[p.directory + 46 + 8] = 'D'; }},
      {"name length", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint16_t>(b, p.directory + 28, 0xffff); }},
      {"CRC", Code::kCorrupt,
       [](std::string* b, const Parts& p) { Poke<uint32_t>(b, p.directory + 16, 1); }},
      {"local extra field", Code::kCorrupt,
       [](std::string* b, const Parts&) { Poke<uint16_t>(b, 28, 0xffff); }},
      {"local method", Code::kCorrupt,
       [](std::string* b, const Parts&) { Poke<uint16_t>(b, 8, 8); }},
      {"data", Code::kCorrupt, [](std::string* b, const Parts&) { (*b)[64] ^= 1; }},
  };
  int wrong = 0;
  for (const Lie& lie : lies) {
    std::string bytes = Small();
    lie.tell(&bytes, Locate(bytes));
    Code code = Outcome(bytes);
    if (code == lie.expected) continue;
    print_message("%s: %s\n", lie.what, std::string(CodeName(code)).c_str());
    ++wrong;
  }
  assert_int_equal(wrong, 0);
}

void DuplicateNamesAreRefused(void**) {
  std::string bytes = Build({{"a", "1"}, {"b", "2"}, {"a", "3"}});
  Code code = Outcome(bytes);
  std::string().swap(bytes);
  assert_int_equal(code, Code::kCorrupt);
}

void SharedDataIsRefused(void**) {
  // The second entry of the directory points at the first record, under the same name length.
  std::string bytes = Build({{"a", "1"}, {"b", "1"}});
  Parts parts = Locate(bytes);
  size_t second = parts.directory + zip::kDirectorySize + 9;
  Poke<uint32_t>(&bytes, second + 42, 0);
  bytes[second + zip::kDirectorySize + 8] = 'a';
  Code code = Outcome(bytes);
  std::string().swap(bytes);
  assert_int_equal(code, Code::kCorrupt);
}

void RecordsWithoutCrcAreReadUnchecked(void**) {
  std::string bytes;
  zip::LayoutWriter writer("archive/");
  writer.BeginRecord("data/0", 4, &bytes);
  bytes += "abcd";
  writer.EndRecord(0, &bytes);
  writer.Finish(&bytes);
  MemorySource source(AsBytes(bytes));
  Result<Archive> archive = Archive::Open(&source);
  bool checked = true;
  bool ok = archive.ok() && archive->Read(archive->records()[0], 4, &checked).ok();
  std::string().swap(bytes);
  assert_true(ok);
  assert_false(checked);
}

void DeflatedDataThatLiesIsRefused(void**) {
  const std::string sound = ReadFixture("items/python_deflated.zip");
  MemorySource source(AsBytes(sound));
  Result<Archive> archive = Archive::Open(&source);
  bool opened = archive.ok();
  int refused = 0;
  if (opened) {
    zip::Record record = *archive->Find("data/0");
    std::string out(record.size + 1, '\0');
    auto into = [&](const zip::Record& lie) {
      MutableBytes room{reinterpret_cast<std::byte*>(out.data()), lie.size};
      if (archive->ReadInto(lie, room).code() == Code::kCorrupt) ++refused;
      if (archive->Read(lie, 1 << 20).status().code() == Code::kCorrupt) ++refused;
    };
    zip::Record lie = record;
    lie.size += 1;  // inflates to less
    into(lie);
    lie = record;
    lie.size -= 1;  // to more
    into(lie);
    lie = record;
    lie.compressed_size -= 1;  // stream cut off
    into(lie);
    lie = record;
    lie.compressed_size += 1;  // bytes left over
    into(lie);
    lie = record;
    lie.data_offset += 1;
    into(lie);
  }
  assert_true(opened);
  assert_int_equal(refused, 10);
}

// Nothing may crash; whatever still opens must read without a crash too.
void EveryTruncationAndEveryFlipEndsInAStatus(void**) {
  int sound = 0;
  int count = 0;
  for (std::string bytes : {Small(), ReadFixture("items/python_deflated.zip")}) {
    for (size_t length = 0; length < bytes.size(); ++length) {
      ++count;
      if (Outcome(std::string_view(bytes).substr(0, length)) == Code::kOk) ++sound;
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int flip : {1, 0x80, 0xff}) {
        bytes[i] = static_cast<char>(bytes[i] ^ flip);
        Outcome(bytes);
        bytes[i] = static_cast<char>(bytes[i] ^ flip);
      }
    }
  }
  assert_true(count > 1000);
  assert_int_equal(sound, 0);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::RecordsAreFoundAndRead),
      cmocka_unit_test(dcp::PythonsLayoutsOpen),
      cmocka_unit_test(dcp::ABigItemNeedsThreeSmallReads),
      cmocka_unit_test(dcp::ASmallItemNeedsOneRead),
      cmocka_unit_test(dcp::CommentsAreAllowedAndTrailingBytesAreNot),
      cmocka_unit_test(dcp::LiesAreRefused),
      cmocka_unit_test(dcp::DuplicateNamesAreRefused),
      cmocka_unit_test(dcp::SharedDataIsRefused),
      cmocka_unit_test(dcp::RecordsWithoutCrcAreReadUnchecked),
      cmocka_unit_test(dcp::DeflatedDataThatLiesIsRefused),
      cmocka_unit_test(dcp::EveryTruncationAndEveryFlipEndsInAStatus),
  };
  return cmocka_run_group_tests_name("zip/archive", tests, nullptr, nullptr);
}
