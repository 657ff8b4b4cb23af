#include "tensorio/item_twins.h"

#include <algorithm>
#include <cstring>

#include "support/checks.h"
#include "support/fixture_items.h"
#include "support/written_item.h"
#include "tensorio/parsed_item.h"
#include "tensorio/records.h"

namespace dcp {
namespace {

std::string Payload(size_t size, char seed) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(seed + i * 7 + i / 251);
  return bytes;
}

std::string Item(int64_t elements, char seed) {
  std::string error;
  std::string item = WriteItem(DType::kFloat32, Shape{elements}, Shape{1},
                               Payload(static_cast<size_t>(elements) * 4, seed), true, &error);
  return error.empty() ? item : "";
}

bool Learn(ItemTwin* twin, std::string_view item) {
  const MemorySource source(AsBytes(item));
  Result<ParsedItem> parsed = ParseItem(source);
  return parsed.ok() && twin->Learn(AsBytes(item), *parsed);
}

// What a parse of `item` says of it, when `twin` takes it for one of its own; "" when it is right
// or does not.
std::string Wrongly(ItemTwin* twin, std::string_view item) {
  if (!twin->Matches(AsBytes(item))) return {};
  const MemorySource source(AsBytes(item));
  Result<StoredTensor> parsed = ParseTensorItem(source);
  if (!parsed.ok()) return parsed.status().ToString();
  return *parsed == twin->stored() ? "" : "another tensor";
}

std::string OnlyThePayloadDiffers() {
  for (int64_t elements : {1024, 5000}) {  // without and with block checksums
    ItemTwin twin;
    CHECK_THAT(Learn(&twin, Item(elements, 1)));
    for (char seed = 1; seed < 20; ++seed) {
      std::string other = Item(elements, seed);
      CHECK_THAT(!other.empty() && twin.Matches(AsBytes(other)));
      std::string wrong = Wrongly(&twin, other);
      if (!wrong.empty()) return wrong;
      CHECK_THAT(twin.stored().crc32 == Crc32(0, AsBytes(Payload(elements * 4, seed))));
    }
  }
  return {};
}

std::string AnotherTensorIsNoTwin() {
  ItemTwin twin;
  std::string error;
  CHECK_THAT(!Learn(&twin, Item(0, 1)));              // its CRC stands in front
  CHECK_THAT(!twin.Matches(AsBytes(Item(1024, 1))));  // before anything is learned
  CHECK_THAT(Learn(&twin, Item(1024, 1)));
  const std::string payload = Payload(4096, 3);
  CHECK_THAT(!twin.Matches(AsBytes(Item(1023, 1))));
  for (const Shape& shape : {Shape{32, 32}, Shape{1024, 1}}) {
    std::string item =
        WriteItem(DType::kFloat32, shape, ContiguousStrides(shape), payload, true, &error);
    CHECK_THAT(!twin.Matches(AsBytes(item)));
  }
  std::string item = WriteItem(DType::kInt32, Shape{1024}, Shape{1}, payload, true, &error);
  CHECK_THAT(!twin.Matches(AsBytes(item)));
  CHECK_THAT(error.empty());
  return {};
}

// Small items of every kind there is, ours and those of every release of torch.
std::vector<std::string> Samples() {
  std::vector<std::string> samples = {Item(4, 1), Item(4200, 1), Item(0, 1)};
  std::vector<std::string> seen;
  for (const FixtureItem& item : FixtureItems()) {
    const std::string release = item.file.substr(0, item.file.find('/'));
    if (!item.tensor || item.length > 4096) continue;
    if (std::find(seen.begin(), seen.end(), release) != seen.end()) continue;
    seen.push_back(release);
    samples.push_back(item.Bytes());
  }
  return samples;
}

// Whatever byte changes: a twin is what a parse would say.
std::string EveryChangedByteIsSeen() {
  size_t twins = 0, others = 0;
  for (const std::string& sample : Samples()) {
    ItemTwin twin;
    if (!Learn(&twin, sample)) continue;
    CHECK_THAT(twin.Matches(AsBytes(sample)));
    for (size_t at = 0; at < sample.size(); ++at) {
      for (const int change : {0x01, 0x80, 0xff}) {
        std::string changed = sample;
        changed[at] = static_cast<char>(changed[at] ^ change);
        std::string wrong = Wrongly(&twin, changed);
        if (!wrong.empty()) return fmt::format("byte {} ^ {}: {}", at, change, wrong);
        twin.Matches(AsBytes(changed)) ? ++twins : ++others;
        if (kUnderTsan) break;
      }
    }
    CHECK_THAT(!twin.Matches(AsBytes(sample).first(sample.size() - 1)));
    CHECK_THAT(!twin.Matches(AsBytes(sample + '\0')));
  }
  CHECK_THAT(twins > 50);     // payloads
  CHECK_THAT(others > 5000);  // and what stands around them
  return {};
}

// A CRC that changes in one place and not in the other contradicts itself.
std::string BothCrcsMustAgree() {
  const std::string first = Item(1024, 1), second = Item(1024, 2);
  ItemTwin twin;
  CHECK_THAT(Learn(&twin, first));
  const MemorySource source(AsBytes(second));
  Result<ParsedItem> parsed = ParseItem(source);
  CHECK_OK(parsed);
  for (const zip::Record& record : parsed->archive.records()) {
    const bool payload = record.data_offset == parsed->stored.data_offset;
    if (!payload && !record.name.ends_with("serialization_id")) continue;
    for (const uint64_t place :
         {record.entry_offset + 16, record.data_offset + record.compressed_size + 4}) {
      std::string changed = second;
      std::memcpy(changed.data() + place, "\x12\x34\x56\x78", 4);
      CHECK_THAT(!twin.Matches(AsBytes(changed)));
    }
  }
  return {};
}

std::string ParsesAsOneByOne() {
  size_t items = 0;
  for (const bool one_kind : {false, true}) {
    ItemTwins twins;
    for (const FixtureItem& item : FixtureItems()) {
      const std::string bytes = item.Bytes();
      const MemorySource source(AsBytes(bytes));
      Result<StoredTensor> alone = ParseTensorItem(source);
      for (int again = 0; again < 2; ++again) {
        Result<const StoredTensor*> parsed =
            twins.Parse(AsBytes(bytes), one_kind ? 0 : item.shape.size());
        CHECK_THAT(parsed.ok() == alone.ok());
        if (parsed.ok()) {
          CHECK_THAT(**parsed == *alone);
          ++items;
        } else {
          CHECK_THAT(parsed.status().ToString() == alone.status().ToString());
        }
      }
    }
  }
  CHECK_THAT(items > 800);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      DCP_CHECKED(OnlyThePayloadDiffers),  DCP_CHECKED(AnotherTensorIsNoTwin),
      DCP_CHECKED(EveryChangedByteIsSeen), DCP_CHECKED(BothCrcsMustAgree),
      DCP_CHECKED(ParsesAsOneByOne),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
