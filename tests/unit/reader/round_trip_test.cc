// What WriteItems wrote, ReadTensors gives back: random types, shapes, strides, boxes and stores.
#include <algorithm>
#include <cstring>
#include <random>

#include "support/checks.h"
#include "support/shuffled_store.h"
#include "support/temp_folder.h"
#include "unit/reader/written.h"

namespace dcp {
namespace {

constexpr DType kStorable[] = {
    DType::kFloat32, DType::kFloat64,   DType::kBFloat16,       DType::kInt8,
    DType::kInt64,   DType::kBool,      DType::kComplex64,      DType::kComplex128,
    DType::kUInt16,  DType::kFloat16,   DType::kFloat8E4M3FN,   DType::kBits8,
    DType::kUInt32,  DType::kComplex32, DType::kFloat4E2M1FNx2,
};

Shape RandomShape(std::mt19937_64& random, bool large) {
  if (large) {
    switch (random() % 4) {
      case 0:
        return {static_cast<int64_t>(150000 + random() % 400000)};
      case 1:
        return {static_cast<int64_t>(200 + random() % 200),
                static_cast<int64_t>(900 + random() % 300)};
      case 2:
        return {3, static_cast<int64_t>(100 + random() % 100),
                static_cast<int64_t>(700 + random() % 300)};
      default:
        return {static_cast<int64_t>(30000 + random() % 9999), 2, 1, 4};
    }
  }
  Shape shape(random() % 5);
  for (int64_t& size : shape) size = static_cast<int64_t>(random() % 9);
  return shape;
}

// `entry` read as a random box into a random target; compared with the same box of `source`.
struct BoxRead {
  Shape offsets;
  Shape lengths;
  Strided dest;
  std::vector<std::byte> expected_bytes;
  Tensor expected;
  TensorRead read;

  BoxRead(std::mt19937_64& random, const Entry& entry, const Tensor& source) {
    const bool whole = random() % 3 == 0;
    for (int64_t size : source.shape) {
      int64_t offset =
          whole || size == 0 ? 0 : static_cast<int64_t>(random() % static_cast<uint64_t>(size));
      int64_t length =
          whole ? size : static_cast<int64_t>(random() % static_cast<uint64_t>(size - offset + 1));
      if (!whole && random() % 2 == 0) {
        offset = 0;
        length = size;
      }
      offsets.push_back(offset);
      lengths.push_back(length);
    }
    DType to = source.dtype;
    if (random() % 4 == 0 && CanCast(to, DType::kFloat32)) to = DType::kFloat32;
    dest = MakeStrided(random, to, lengths, random() % 2 == 0, false);
    expected = *Tensor::Allocate(to, lengths);
    CastElements(source.Slice(offsets, lengths), expected);
    read.entry = &entry;
    read.storage_offsets = offsets;
    read.lengths = lengths;
    read.dest = dest.tensor;
  }
};

std::string RoundTrip(uint64_t seed, const TempFolder& folder) {
  std::mt19937_64 random(seed);
  std::vector<Strided> sources;
  Items items;
  const size_t count = 1 + random() % 24;
  for (size_t i = 0; i < count; ++i) {
    const DType dtype = kStorable[random() % std::size(kStorable)];
    const Shape shape = RandomShape(random, random() % 4 == 0);
    sources.push_back(MakeStrided(random, dtype, shape, random() % 2 == 0, random() % 4 == 0));
    items.Add(fmt::format("t{}", i), sources.back().tensor);
    if (random() % 3 == 0) items.Add(fmt::format("o{}", i), Value::Int(static_cast<int64_t>(i)));
  }
  WriterOptions options = SmallWriterOptions();
  options.files = static_cast<int32_t>(1 + random() % 3);
  options.file_per_item = random() % 4 == 0;
  options.direct = random() % 2 == 0;
  options.block_checksums = random() % 4 != 0;
  options.align_from = random() % 2 == 0 ? 1 << 20 : 1 << 12;
  if (random() % 5 == 0) options.transforms.push_back(NewCaseSwapTransform());
  if (random() % 5 == 0 && NewZstdTransform(1)) options.transforms.push_back(NewZstdTransform(1));
  const bool local = random() % 2 == 0;
  std::shared_ptr<Store> store =
      local ? std::shared_ptr<Store>(*OpenStore(folder / fmt::format("{}", seed), {}))
            : NewMemoryStore();
  CHECK_OK(store->MakeRoot());
  Written written;
  CHECK_OK(WriteAll(items, options, random() % 2 == 0, store, &written));
  CHECK_THAT(written.outcome.files.size() ==
             (options.file_per_item ? items.names.size() : static_cast<size_t>(options.files)));

  const auto registry = Registry();
  ReaderOptions reading = SmallReaderOptions(*registry);
  reading.cold = random() % 2 == 0;
  reading.verify = random() % 4 != 0;
  reading.threads = static_cast<int32_t>(1 + random() % 3);
  ItemReader reader(store.get(), &written.metadata);
  std::vector<std::unique_ptr<BoxRead>> boxes;
  std::vector<TensorRead> reads;
  uint64_t delivered = 0;
  for (size_t i = 0; i < items.names.size(); ++i) {
    const Entry& entry = written.metadata.entries[i];
    bool checked = false;
    CHECK_OK(reader.VerifyItem(entry, 0, reading, &checked));
    CHECK_THAT(checked);
    if (items.objects[i] != nullptr) {
      auto object = reader.ReadObject(entry, reading);
      CHECK_OK(object);
      CHECK_THAT(Equal(**object, *items.objects[i]));
      continue;
    }
    auto stored = reader.Inspect(entry, 0, reading);
    CHECK_OK(stored);
    CHECK_THAT(stored->shape == items.tensors[i].shape && stored->dtype == items.tensors[i].dtype);
    for (size_t n = 1 + random() % 3; n > 0; --n) {
      boxes.push_back(std::make_unique<BoxRead>(random, entry, items.tensors[i]));
      reads.push_back(boxes.back()->read);
      delivered += static_cast<uint64_t>(boxes.back()->expected.num_elements() *
                                         DTypeSize(items.tensors[i].dtype));
    }
  }
  std::shuffle(reads.begin(), reads.end(), random);
  auto outcome = reader.ReadTensors(reads, reading);
  CHECK_OK(outcome);
  if (reading.verify && options.block_checksums) CHECK_THAT(outcome->bytes_unverified == 0);
  if (!reading.verify) CHECK_THAT(outcome->bytes_unverified == delivered);
  for (const auto& box : boxes) {
    if (EqualElements(box->dest.tensor, box->expected)) continue;
    return fmt::format("'{}' at {} size {} differs", box->read.entry->name, ToString(box->offsets),
                       ToString(box->lengths));
  }
  return {};
}

// Reads of all kinds in flight at once, with few buffers.
std::string QueuedReads() {
  std::mt19937_64 random(5);
  std::vector<Strided> sources;
  Items items;
  for (int i = 0; i < 60; ++i) {
    const Shape shape = i % 20 == 0 ? Shape{1100, 1024} : Shape{static_cast<int64_t>(i * 50), 7};
    sources.push_back(MakeStrided(random, DType::kFloat32, shape, i % 3 == 0, false));
    items.Add(fmt::format("t{}", i), sources.back().tensor);
  }
  auto memory = std::shared_ptr<Store>(NewMemoryStore());
  Written written;
  CHECK_OK(WriteAll(items, SmallWriterOptions(), true, memory, &written));
  CHECK_THAT(written.outcome.bytes > (8 << 20));
  const auto registry = Registry();
  for (size_t alignment : {1, 512, 4096}) {
    const ShuffledStore store(memory, alignment);
    ItemReader reader(&store, &written.metadata);
    std::vector<std::unique_ptr<BoxRead>> boxes;
    std::vector<TensorRead> reads;
    for (size_t i = 0; i < items.names.size(); ++i) {
      for (int n = 0; n < 3; ++n) {
        boxes.push_back(
            std::make_unique<BoxRead>(random, written.metadata.entries[i], items.tensors[i]));
        reads.push_back(boxes.back()->read);
      }
    }
    auto outcome = reader.ReadTensors(reads, SmallReaderOptions(*registry));
    CHECK_OK(outcome);
    CHECK_THAT(outcome->bytes_unverified == 0);
    for (const auto& box : boxes) CHECK_THAT(EqualElements(box->dest.tensor, box->expected));
    bool checked = false;
    CHECK_OK(
        reader.VerifyItem(written.metadata.entries[0], 0, SmallReaderOptions(*registry), &checked));
  }
  return {};
}

std::string RandomRoundTrips() {
  const char* given = std::getenv("DCP_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  const TempFolder folder;
  for (uint64_t i = 0; i < 15; ++i) {
    std::string failure = RoundTrip(seed + i, folder);
    if (!failure.empty()) return fmt::format("DCP_SEED={}: {}", seed + i, failure);
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::QueuedReads>),
      cmocka_unit_test(dcp::Checked<dcp::RandomRoundTrips>),
  };
  return cmocka_run_group_tests_name("reader/round_trip", tests, nullptr, nullptr);
}
