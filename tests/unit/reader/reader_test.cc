// The reader's promises one by one: what is checked, how much is read, and what errors say.
#include "reader/reader.h"

#include <cstring>
#include <filesystem>
#include <random>

#include "base/checksum.h"
#include "metadata/codec.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/fixture_items.h"
#include "support/shuffled_store.h"
#include "support/temp_folder.h"
#include "unit/reader/written.h"

namespace dcp {
namespace {

Tensor Filled(DType dtype, const Shape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  Tensor tensor = *Tensor::Allocate(dtype, shape);
  for (int64_t i = 0; i < tensor.num_bytes(); ++i) tensor.data[i] = std::byte(random());
  return tensor;
}

// Two tensors (one of several checksum blocks, one of less) and an object in memory.
struct Sample {
  Items items;
  Written written;
  std::shared_ptr<const TransformRegistry> registry = Registry();

  static constexpr int64_t kRows = 512;
  static constexpr int64_t kColumns = 512;

  std::string Write(bool item_crcs) {
    items.Add("large", Filled(DType::kFloat32, {kRows, kColumns}, 1));
    items.Add("small", Filled(DType::kBFloat16, {40, 5}, 2));
    items.Add("object", Value::String("hello"));
    CHECK_OK(WriteAll(items, SmallWriterOptions(), item_crcs, NewMemoryStore(), &written));
    return {};
  }
  const Entry& entry(size_t i) const { return written.metadata.entries[i]; }
  const Location& place(size_t i) const { return entry(i).locations[0]; }
  ReaderOptions Options() const { return SmallReaderOptions(*registry); }

  std::string FileBytes() const {
    return *ReadWholeFile(*written.store, written.metadata.files[0], 1 << 30);
  }
  Status SetFile(std::string_view bytes) const {
    return WriteWholeFile(*written.store, written.metadata.files[0], AsBytes(bytes), false);
  }
  // One byte changed, `at` counted from the item's begin.
  Status Flip(size_t item, uint64_t at) const {
    std::string bytes = FileBytes();
    bytes[place(item).offset + at] ^= 0x10;
    return SetFile(bytes);
  }
};

std::string Whole(const Sample& sample, size_t i, Result<ReadOutcome>* out) {
  ItemReader reader(sample.written.store.get(), &sample.written.metadata);
  Tensor dest = *Tensor::Allocate(sample.entry(i).properties.dtype, sample.entry(i).size);
  const TensorRead read = ReadOf(sample.entry(i), dest);
  *out = reader.ReadTensors({&read, 1}, sample.Options());
  if (out->ok()) CHECK_THAT(EqualElements(dest, sample.items.tensors[i]));
  return {};
}

std::string SlicesReadLittleMoreThanThemselves() {
  Sample sample;
  std::string failure = sample.Write(true);
  if (!failure.empty()) return failure;
  ItemReader reader(sample.written.store.get(), &sample.written.metadata);
  const int64_t rows = 64;
  Tensor dest = *Tensor::Allocate(DType::kFloat32, Shape{rows, Sample::kColumns});
  TensorRead read;
  const Shape offsets = {100, 0};
  const Shape lengths = dest.shape;
  read.entry = &sample.entry(0);
  read.storage_offsets = offsets;
  read.lengths = lengths;
  read.dest = dest;
  auto outcome = reader.ReadTensors({&read, 1}, sample.Options());
  CHECK_OK(outcome);
  CHECK_THAT(EqualElements(dest, sample.items.tensors[0].Slice(offsets, lengths)));
  CHECK_THAT(outcome->bytes_unverified == 0);
  const uint64_t slice = static_cast<uint64_t>(dest.num_bytes());
  CHECK_THAT(outcome->bytes_read <= slice + slice / 50 + (48 << 10));
  return {};
}

std::string DamageIsFoundWhereverItIs() {
  for (bool item_crcs : {false, true}) {
    Sample sample;
    std::string failure = sample.Write(item_crcs);
    if (!failure.empty()) return failure;
    const std::string good = sample.FileBytes();
    for (size_t i : {size_t{0}, size_t{1}}) {
      ItemReader inspector(sample.written.store.get(), &sample.written.metadata);
      auto stored = inspector.Inspect(sample.entry(i), 0, sample.Options());
      CHECK_OK(stored);
      const std::string name = sample.entry(i).name;
      std::vector<uint64_t> places = {
          70,                   // the pickle
          stored->data_offset,  // the payload's ends
          stored->data_offset + stored->data_size - 1,
          sample.place(i).length - 30,  // the directory's end
      };
      if (stored->block_table_offset) places.push_back(*stored->block_table_offset + 5);
      for (uint64_t at : places) {
        CHECK_OK(sample.Flip(i, at));
        ItemReader reader(sample.written.store.get(), &sample.written.metadata);
        bool checked = false;
        const Status verified = reader.VerifyItem(sample.entry(i), 0, sample.Options(), &checked);
        if (verified.ok()) return fmt::format("verify did not see byte {} of '{}'", at, name);
        CHECK_THAT(verified.message().find("'" + name + "'") != std::string::npos);
        const bool in_table = stored->block_table_offset && at == *stored->block_table_offset + 5;
        Result<ReadOutcome> outcome = Status(Code::kInternal, "not read");
        failure = Whole(sample, i, &outcome);
        if (!failure.empty()) return failure;
        // Without the item's CRC a whole read does not look at the table.
        CHECK_THAT(outcome.ok() == (in_table && !item_crcs));
        if (!outcome.ok()) {
          CHECK_THAT(outcome.status().message().find("'" + name + "'") != std::string::npos);
          CHECK_THAT(outcome.status().message().find(
                         fmt::format("offset {}", sample.place(i).offset)) != std::string::npos);
        }
        CHECK_OK(sample.SetFile(good));
      }
    }
    ItemReader reader(sample.written.store.get(), &sample.written.metadata);
    CHECK_OK(sample.Flip(2, 66));
    CHECK_THAT(!reader.ReadObject(sample.entry(2), sample.Options()).ok());
    CHECK_OK(sample.SetFile(good));
  }
  return {};
}

std::string EveryByteOfOurItemsIsChecked() {
  Sample sample;
  std::string failure = sample.Write(false);
  if (!failure.empty()) return failure;
  // Also without the metadata's CRC of the item: records by their CRCs, the rest by its layout.
  const std::string good = sample.FileBytes();
  for (size_t i : {size_t{1}, size_t{2}}) {
    for (uint64_t at = 0; at < sample.place(i).length; at += kUnderTsan ? 29 : 1) {
      CHECK_OK(sample.Flip(i, at));
      ItemReader reader(sample.written.store.get(), &sample.written.metadata);
      bool checked = false;
      if (reader.VerifyItem(sample.entry(i), 0, sample.Options(), &checked).ok()) {
        return fmt::format("a change of byte {} of '{}' was not seen", at, sample.entry(i).name);
      }
      CHECK_OK(sample.SetFile(good));
    }
  }
  return {};
}

std::string SlicesAreCheckedByBlocks() {
  Sample sample;
  std::string failure = sample.Write(true);
  if (!failure.empty()) return failure;
  ItemReader first(sample.written.store.get(), &sample.written.metadata);
  auto stored = first.Inspect(sample.entry(0), 0, sample.Options());
  CHECK_OK(stored);
  // Rows of 2 KiB, eight a block: damage in block 3, rows 24 to 31.
  CHECK_OK(sample.Flip(0, stored->data_offset + 3 * kChecksumBlock + 100));
  ItemReader reader(sample.written.store.get(), &sample.written.metadata);
  Tensor dest = *Tensor::Allocate(DType::kFloat32, Shape{1, 9});
  const Shape lengths = dest.shape;
  for (int64_t row : {0, 23, 24, 31, 32, 511}) {
    const Shape offsets = {row, 77};
    TensorRead read;
    read.entry = &sample.entry(0);
    read.storage_offsets = offsets;
    read.lengths = lengths;
    read.dest = dest;
    auto outcome = reader.ReadTensors({&read, 1}, sample.Options());
    if (row == 24 || row == 31) {
      CHECK_CODE(outcome, Code::kCorrupt);
      const uint64_t block = sample.place(0).offset + stored->data_offset + 3 * kChecksumBlock;
      CHECK_THAT(outcome.status().message().find(fmt::format("offset {} of the file", block)) !=
                 std::string::npos);
    } else {
      CHECK_OK(outcome);
      CHECK_THAT(outcome->bytes_unverified == 0);
      CHECK_THAT(EqualElements(dest, sample.items.tensors[0].Slice(offsets, lengths)));
    }
  }
  return {};
}

// Which queue a read of the box of a 16 MiB matrix asks its file for.
std::string BoxIsReadCold(const Shape& offsets, const Shape& lengths, bool verify, bool cold) {
  const Tensor matrix = Filled(DType::kFloat32, {2048, 2048}, 5);
  Items items;
  items.Add("matrix", matrix);
  Written written;
  CHECK_OK(WriteAll(items, SmallWriterOptions(), true, NewMemoryStore(), &written));
  const ShuffledStore store(written.store, 4096);
  const auto registry = Registry();
  ReaderOptions options = SmallReaderOptions(*registry);
  options.cold = true;
  options.verify = verify;
  ItemReader reader(&store, &written.metadata);
  const Tensor dest = *Tensor::Allocate(DType::kFloat32, lengths);
  TensorRead read;
  read.entry = &written.metadata.entries[0];
  read.storage_offsets = offsets;
  read.lengths = lengths;
  read.dest = dest;
  CHECK_OK(reader.ReadTensors({&read, 1}, options));
  CHECK_THAT(EqualElements(dest, matrix.Slice(offsets, lengths)));
  CHECK_THAT((store.asked().cold > 0) == cold);
  CHECK_THAT((store.asked().warm > 0) == !cold);
  return {};
}

std::string BytesForOtherRanksStayInThePageCache() {
  for (const bool verify : {true, false}) {
    // Some of its rows, half of its columns, a quarter of them.
    for (const auto& [lengths, cold] :
         {std::pair(Shape{1024, 2048}, true), std::pair(Shape{2048, 1024}, true),
          std::pair(Shape{2048, 512}, false)}) {
      const std::string failure = BoxIsReadCold(Shape{0, 0}, lengths, verify, cold);
      if (!failure.empty()) return failure;
    }
  }
  return {};
}

std::string MappedViewsAreTheBytes() {
  const TempFolder folder;
  Items items;
  items.Add("large", Filled(DType::kFloat32, {700, 600}, 1));
  items.Add("small", Filled(DType::kInt64, {40}, 2));
  items.Add("empty", Filled(DType::kInt64, {0}, 2));
  WriterOptions options = SmallWriterOptions();
  Written written;
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  CHECK_OK(WriteAll(items, options, true, *std::move(store), &written));
  const auto registry = Registry();
  ItemReader reader(written.store.get(), &written.metadata);
  for (size_t i = 0; i < items.names.size(); ++i) {
    auto view = reader.MapChunk(written.metadata.entries[i], 0, SmallReaderOptions(*registry));
    if (i == 1 && !view.ok()) {  // packed items begin where they begin
      CHECK_CODE(view, Code::kUnsupported);
      continue;
    }
    CHECK_OK(view);
    CHECK_THAT(view->read_only);
    CHECK_THAT(EqualElements(*view, items.tensors[i]));
  }
  options.transforms = {NewCaseSwapTransform()};
  Written swapped;
  CHECK_OK(WriteAll(items, options, true, written.store, &swapped));
  ItemReader transformed(swapped.store.get(), &swapped.metadata);
  auto refused =
      transformed.MapChunk(swapped.metadata.entries[0], 0, SmallReaderOptions(*registry));
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("stream.rot13/1") != std::string::npos);
  return {};
}

std::string MetadataThatDoesNotFitIsRefused() {
  Sample sample;
  std::string failure = sample.Write(true);
  if (!failure.empty()) return failure;
  Result<ReadOutcome> outcome = Status(Code::kInternal, "not read");
  Metadata& metadata = sample.written.metadata;
  for (size_t i : {size_t{0}, size_t{1}}) {
    const Entry entry = metadata.entries[i];
    metadata.entries[i].properties.dtype = DType::kInt32;
    CHECK_THAT(Whole(sample, i, &outcome).empty());
    CHECK_CODE(outcome, Code::kMismatch);
    metadata.entries[i] = entry;
    metadata.entries[i].size[0] -= 1;
    metadata.entries[i].boxes[2] -= 1;
    CHECK_THAT(Whole(sample, i, &outcome).empty());
    CHECK_CODE(outcome, Code::kMismatch);
    metadata.entries[i] = entry;
    metadata.entries[i].locations[0].length += 1 << 20;
    CHECK_THAT(Whole(sample, i, &outcome).empty());
    CHECK_CODE(outcome, Code::kCorrupt);
    metadata.entries[i].locations[0].offset = UINT64_MAX - 5;
    CHECK_THAT(Whole(sample, i, &outcome).empty());
    CHECK_CODE(outcome, Code::kCorrupt);
    metadata.entries[i] = entry;
    metadata.entries[i].locations[0].file = Location::kMissing;
    CHECK_THAT(Whole(sample, i, &outcome).empty());
    CHECK_CODE(outcome, Code::kCorrupt);
    metadata.entries[i] = entry;
    metadata.entries[i].unknown_dtype = "float3";
    CHECK_THAT(Whole(sample, i, &outcome).empty());
    CHECK_CODE(outcome, Code::kUnsupported);
    metadata.entries[i] = entry;
  }
  // Another tensor of the same kind in its place.
  sample.items.Add("twin", Filled(DType::kBFloat16, {40, 5}, 9));
  CHECK_OK(WriteAll(sample.items, SmallWriterOptions(), true, NewMemoryStore(), &sample.written));
  std::swap(metadata.entries[1].locations[0].offset, metadata.entries[3].locations[0].offset);
  CHECK_THAT(Whole(sample, 1, &outcome).empty());
  CHECK_CODE(outcome, Code::kCorrupt);
  return {};
}

std::string MissingFilesAreReplaced() {
  Sample sample;
  std::string failure = sample.Write(true);
  if (!failure.empty()) return failure;
  CHECK_OK(sample.written.store->Remove(sample.written.metadata.files[0]));
  Result<ReadOutcome> outcome = Status(Code::kInternal, "not read");
  CHECK_THAT(Whole(sample, 0, &outcome).empty());
  CHECK_CODE(outcome, Code::kReplaced);
  ItemReader reader(sample.written.store.get(), &sample.written.metadata);
  CHECK_CODE(reader.ReadObject(sample.entry(2), sample.Options()), Code::kReplaced);
  return {};
}

std::string TargetsAreChecked() {
  Sample sample;
  std::string failure = sample.Write(true);
  if (!failure.empty()) return failure;
  ItemReader reader(sample.written.store.get(), &sample.written.metadata);
  Tensor dest = *Tensor::Allocate(DType::kBFloat16, Shape{40, 5});
  TensorRead read = ReadOf(sample.entry(1), dest);
  read.dest.read_only = true;
  CHECK_CODE(reader.ReadTensors({&read, 1}, sample.Options()), Code::kInvalidArgument);
  read = ReadOf(sample.entry(2), dest);
  CHECK_CODE(reader.ReadTensors({&read, 1}, sample.Options()), Code::kInvalidArgument);
  const Shape outside = {1, 0};
  read = ReadOf(sample.entry(1), dest);
  read.storage_offsets = outside;
  CHECK_CODE(reader.ReadTensors({&read, 1}, sample.Options()), Code::kInvalidArgument);
  read = ReadOf(sample.entry(1), *Tensor::Allocate(DType::kQInt8, Shape{40, 5}));
  CHECK_CODE(reader.ReadTensors({&read, 1}, sample.Options()), Code::kUnsupported);
  read = ReadOf(sample.entry(1), dest);
  read.dest.device = {2, 0};
  CHECK_CODE(reader.ReadTensors({&read, 1}, sample.Options()), Code::kUnsupported);
  CHECK_CODE(reader.ReadObject(sample.entry(1), sample.Options()), Code::kInvalidArgument);
  CHECK_CODE(reader.Inspect(sample.entry(1), 1, sample.Options()), Code::kInvalidArgument);
  ReaderOptions cancelled = sample.Options();
  cancelled.cancel.Cancel();
  read = ReadOf(sample.entry(1), dest);
  CHECK_CODE(reader.ReadTensors({&read, 1}, cancelled), Code::kCancelled);
  return {};
}

std::string EveryReadFaultIsReported() {
  Sample sample;
  std::string failure = sample.Write(true);
  if (!failure.empty()) return failure;
  auto faults = std::make_shared<FaultStore>(sample.written.store);
  ReaderOptions options = sample.Options();
  options.threads = 1;
  Tensor large = *Tensor::Allocate(DType::kFloat32, sample.entry(0).size);
  Tensor small = *Tensor::Allocate(DType::kFloat32, sample.entry(1).size);
  const TensorRead reads[] = {ReadOf(sample.entry(0), large), ReadOf(sample.entry(1), small)};
  {
    ItemReader reader(faults.get(), &sample.written.metadata);
    CHECK_OK(reader.ReadTensors(reads, options));
    CHECK_OK(reader.ReadObject(sample.entry(2), options));
  }
  const size_t calls = faults->call_count();
  CHECK_THAT(calls > 5);
  for (size_t number = 0; number < calls; ++number) {
    faults->Heal();
    faults->ClearCalls();
    faults->FailCall(number, Status(Code::kIo, "the disk is gone"));
    ItemReader reader(faults.get(), &sample.written.metadata);
    Status status = reader.ReadTensors(reads, options).status();
    if (status.ok()) status = reader.ReadObject(sample.entry(2), options).status();
    CHECK_CODE(status, Code::kIo);
    CHECK_THAT(status.message().find("the disk is gone") != std::string::npos);
    CHECK_THAT(status.message().find(sample.written.metadata.files[0]) != std::string::npos);
  }
  return {};
}

namespace fs = std::filesystem;

std::string CheckGolden(const fs::path& folder, const std::vector<FixtureItem>& known,
                        size_t* tensors) {
  const std::string relative = fs::relative(folder, DCP_FIXTURES "/golden").string();
  auto store = OpenStore(folder.string(), {});
  CHECK_OK(store);
  std::vector<Metadata> ranks;
  for (int rank = -1; rank < 8; ++rank) {
    const std::string name = rank < 0 ? ".metadata" : fmt::format("__{}.metadata", rank);
    auto bytes = ReadWholeFile(**store, name, 1 << 24);
    if (!bytes.ok()) continue;
    auto decoded = DecodeMetadata(AsBytes(*bytes), name);
    CHECK_OK(decoded);
    ranks.push_back(*std::move(decoded));
  }
  const auto registry = Registry();
  const ReaderOptions options = SmallReaderOptions(*registry);
  for (const Metadata& metadata : ranks) {
    ItemReader reader(store->get(), &metadata);
    for (const Entry& entry : metadata.entries) {
      for (uint32_t chunk = 0; chunk < entry.chunk_count(); ++chunk) {
        bool checked = false;
        CHECK_OK(reader.VerifyItem(entry, chunk, options, &checked));
        CHECK_THAT(checked);
        if (entry.kind == EntryKind::kBytes) {
          CHECK_OK(reader.ReadObject(entry, options));
          continue;
        }
        auto stored = reader.Inspect(entry, chunk, options);
        CHECK_OK(stored);
        const Dims sizes = entry.chunk(chunk).sizes;
        Tensor dest = *Tensor::Allocate(entry.properties.dtype, sizes);
        const Shape zeros(sizes.size(), 0);
        TensorRead read;
        read.entry = &entry;
        read.chunk = chunk;
        read.storage_offsets = zeros;
        read.lengths = sizes;
        read.dest = dest;
        if (stored->form != TensorForm::kDense) {
          CHECK_CODE(reader.ReadTensors({&read, 1}, options), Code::kUnsupported);
          continue;
        }
        auto outcome = reader.ReadTensors({&read, 1}, options);
        CHECK_OK(outcome);
        CHECK_THAT(outcome->bytes_unverified == 0);
        const Location& location = entry.locations[chunk];
        const std::string file = relative + "/" + metadata.files[location.file];
        for (const FixtureItem& item : known) {
          if (item.file != file || item.offset != location.offset || !item.tensor) continue;
          const Bytes bytes(dest.data, static_cast<size_t>(dest.num_bytes()));
          CHECK_THAT(Crc32(0, bytes) == item.crc32);
          ++*tensors;
        }
      }
    }
  }
  return {};
}

std::string GoldenCheckpointsLoad() {
  const std::vector<FixtureItem> known = FixtureItems();
  CHECK_THAT(!known.empty());
  size_t tensors = 0;
  size_t folders = 0;
  for (const auto& found : fs::recursive_directory_iterator(DCP_FIXTURES "/golden")) {
    if (!found.is_directory() || found.path().filename() != "ckpt") continue;
    const std::string failure = CheckGolden(found.path(), known, &tensors);
    if (!failure.empty()) return fmt::format("{}: {}", found.path().string(), failure);
    ++folders;
  }
  CHECK_THAT(folders > 20 && tensors > 100);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::SlicesReadLittleMoreThanThemselves>),
      cmocka_unit_test(dcp::Checked<dcp::DamageIsFoundWhereverItIs>),
      cmocka_unit_test(dcp::Checked<dcp::EveryByteOfOurItemsIsChecked>),
      cmocka_unit_test(dcp::Checked<dcp::SlicesAreCheckedByBlocks>),
      cmocka_unit_test(dcp::Checked<dcp::BytesForOtherRanksStayInThePageCache>),
      cmocka_unit_test(dcp::Checked<dcp::MappedViewsAreTheBytes>),
      cmocka_unit_test(dcp::Checked<dcp::MetadataThatDoesNotFitIsRefused>),
      cmocka_unit_test(dcp::Checked<dcp::MissingFilesAreReplaced>),
      cmocka_unit_test(dcp::Checked<dcp::TargetsAreChecked>),
      cmocka_unit_test(dcp::Checked<dcp::EveryReadFaultIsReported>),
      cmocka_unit_test(dcp::Checked<dcp::GoldenCheckpointsLoad>),
  };
  return cmocka_run_group_tests_name("reader/reader", tests, nullptr, nullptr);
}
