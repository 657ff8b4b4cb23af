// What an open checkpoint gives: entries, tensors, boxes with steps, objects, all of it.
#include "catalog/checkpoint.h"

#include "catalog/near_names.h"
#include "storage/open.h"
#include "support/case_swap.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/sample_state.h"
#include "support/written_checkpoint.h"

namespace dcp {
namespace {

using Opened = Result<std::shared_ptr<Checkpoint>>;

std::shared_ptr<const Engine> NewEngine() {
  auto engine = std::make_shared<Engine>();
  static_cast<void>(engine->transforms->Add(NewCaseSwapTransform()));
  engine->EnsurePool();
  return engine;
}

Opened OpenIn(const std::shared_ptr<Store>& store) {
  return Checkpoint::Open(store, OpenOptions(), NewEngine());
}

Opened WrittenAndOpened(const std::vector<ValuePtr>& ranks, const WrittenOptions& options = {}) {
  std::shared_ptr<Store> store = NewMemoryStore();
  DCP_RETURN_IF_ERROR(WriteCheckpoint(*store, ranks, options));
  return OpenIn(store);
}

// `whole` cut into a grid; each rank holds one cell, but for `left_out`.
std::vector<ValuePtr> Grid(const Tensor& whole, const std::vector<int64_t>& rows,
                           const std::vector<int64_t>& columns, size_t left_out = SIZE_MAX) {
  std::vector<ValuePtr> ranks;
  for (size_t r = 0; r + 1 < rows.size(); ++r) {
    for (size_t c = 0; c + 1 < columns.size(); ++c) {
      ShardedTensor sharded;
      sharded.dtype = whole.dtype;
      sharded.global_shape = whole.shape;
      Shape offsets{rows[r], columns[c]};
      Shape sizes{rows[r + 1] - rows[r], columns[c + 1] - columns[c]};
      if (ranks.size() != left_out)
        sharded.shards.push_back({offsets, whole.Slice(offsets, sizes)});
      ranks.push_back(DictOf({{"x", Value::Of(sharded)}}));
    }
  }
  return ranks;
}

std::string NothingCommitted() {
  std::shared_ptr<Store> store = NewMemoryStore();
  CHECK_CODE(OpenIn(store), Code::kNotFound);
  CHECK_OK(WriteWholeFile(*store, ".metadata", AsBytes("\x80\x04K"), false));
  CHECK_CODE(OpenIn(store), Code::kCorrupt);
  return {};
}

std::string EntriesAreFoundByName() {
  auto opened = WrittenAndOpened({SampleState(2)});
  CHECK_OK(opened);
  Checkpoint& checkpoint = **opened;
  auto weight = checkpoint.FindEntry("model.weight");
  CHECK_OK(weight);
  CHECK_THAT(((*weight)->size == Shape{40, 256}));
  auto missing = checkpoint.FindEntry("model.weigth");
  CHECK_CODE(missing, Code::kNotFound);
  CHECK_THAT(missing.status().message().find("near it: 'model.weight'") != std::string::npos);
  missing = checkpoint.FindEntry("optimizer.state");
  CHECK_THAT(missing.status().message().find("'optimizer.state.0.exp_avg'") != std::string::npos);
  missing = checkpoint.FindEntry("zzzzzzzzzzzzzzzzzzzzzzzz");
  CHECK_THAT(missing.status().message().find("near it") == std::string::npos);
  return {};
}

std::string NearNamesAreBounded() {
  Metadata metadata;
  for (int i = 0; i < 2000; ++i) {
    metadata.entries.emplace_back().name = std::string(250, 'a') + std::to_string(i);
  }
  CHECK_THAT(NearNames(metadata, std::string(250, 'a') + "77", 3).size() == 3);
  CHECK_THAT(NearNames(metadata, std::string(300, 'a'), 3).empty());
  metadata.entries.clear();
  for (const char* name : {"b", "bias", "a.b", "a.c", "abc"}) {
    metadata.entries.emplace_back().name = name;
  }
  CHECK_THAT((NearNames(metadata, "a", 2) == std::vector<std::string_view>{"a.b", "a.c"}));
  CHECK_THAT((NearNames(metadata, "bais", 1) == std::vector<std::string_view>{"bias"}));
  CHECK_THAT(NearNames(metadata, "", 5).size() <= 5);
  return {};
}

std::string KindsAreKeptApart() {
  auto opened = WrittenAndOpened({SampleState(2)});
  CHECK_OK(opened);
  Checkpoint& checkpoint = **opened;
  const Entry& weight = **checkpoint.FindEntry("model.weight");
  const Entry& name = **checkpoint.FindEntry("name");
  CHECK_CODE(checkpoint.ReadTensor(name), Code::kMismatch);
  CHECK_CODE(checkpoint.ReadObject(weight), Code::kMismatch);
  CHECK_CODE(checkpoint.Inspect(name, 0), Code::kMismatch);
  CHECK_CODE(checkpoint.MapChunk(name, 0), Code::kMismatch);
  CHECK_CODE(checkpoint.Inspect(weight, 1), Code::kInvalidArgument);
  CHECK_CODE(checkpoint.ReadItemBytes(weight, 7), Code::kInvalidArgument);
  auto value = checkpoint.ReadObject(name);
  CHECK_OK(value);
  CHECK_THAT(Equal(**value, *Value::String("run 2")));
  auto stored = checkpoint.Inspect(weight, 0);
  CHECK_OK(stored);
  CHECK_THAT((stored->shape == Shape{40, 256}));
  auto bytes = checkpoint.ReadItemBytes(weight, 0);
  CHECK_OK(bytes);
  CHECK_THAT(bytes->size() == weight.locations[0].length);
  CHECK_THAT(bytes->starts_with("PK"));
  return {};
}

std::string WholeTensorsComeFromTheirChunks() {
  Tensor whole = PatternTensor(DType::kInt32, {10, 12}, 3);
  for (bool transformed : {false, true}) {
    WrittenOptions options;
    if (transformed) options.transforms = {NewCaseSwapTransform()};
    auto opened = WrittenAndOpened(Grid(whole, {0, 3, 4, 10}, {0, 7, 12}), options);
    CHECK_OK(opened);
    const Entry& entry = (*opened)->metadata().entries[0];
    CHECK_THAT(entry.chunk_count() == 6);
    uint64_t unverified = 5;
    auto tensor = (*opened)->ReadTensor(entry, &unverified);
    CHECK_OK(tensor);
    CHECK_THAT(unverified == 0);
    CHECK_THAT(EqualElements(*tensor, whole));
  }
  return {};
}

// Every box with small steps of a chunked tensor, against the tensor in memory.
std::string BoxesWithSteps() {
  Tensor whole = PatternTensor(DType::kInt32, {7, 9}, 3);
  auto opened = WrittenAndOpened(Grid(whole, {0, 3, 4, 7}, {0, 5, 9}));
  CHECK_OK(opened);
  const Entry& entry = (*opened)->metadata().entries[0];
  int boxes = 0;
  for (int64_t row : {0, 2, 6}) {
    for (int64_t column : {0, 4, 5}) {
      for (int64_t row_step : {1, 2, 5}) {
        for (int64_t column_step : {1, 3}) {
          Shape shape{(7 - row - 1) / row_step + 1, (9 - column - 1) / column_step + 1};
          Tensor dest = PatternTensor(DType::kInt32, shape, 77);
          CHECK_OK((*opened)->ReadBox(entry, std::vector<int64_t>{row, column},
                                      std::vector<int64_t>{row_step, column_step}, dest));
          Tensor expected = whole;
          expected.data += (row * 9 + column) * 4;
          expected.shape = shape;
          expected.strides = {9 * row_step, column_step};
          CHECK_THAT(EqualElements(dest, expected));
          ++boxes;
        }
      }
    }
  }
  CHECK_THAT(boxes == 54);
  return {};
}

std::string LargeStepsReadOnlyWhatTheyNeed() {
  Tensor whole = PatternTensor(DType::kUInt8, {6, 300, 1000}, 3);
  std::shared_ptr<Store> inner = NewMemoryStore();
  CHECK_OK(WriteCheckpoint(*inner, {DictOf({{"x", Value::Of(whole)}})}));
  auto opened = OpenIn(inner);
  CHECK_OK(opened);
  const Entry& entry = (*opened)->metadata().entries[0];
  for (const Shape& steps : {Shape{5, 1, 1}, Shape{2, 100, 7}, Shape{1, 299, 999}}) {
    Shape shape;
    for (size_t d = 0; d < 3; ++d) shape.push_back((whole.shape[d] - 1) / steps[d] + 1);
    Tensor dest = PatternTensor(DType::kInt16, shape, 1);  // another dtype: cast
    CHECK_OK((*opened)->ReadBox(entry, Shape{0, 0, 0}, steps, dest));
    Tensor expected = whole;
    expected.shape = shape;
    expected.strides = {300000 * steps[0], 1000 * steps[1], steps[2]};
    for (int64_t i = 0; i < shape[0]; ++i) {
      for (int64_t j = 0; j < shape[1]; ++j) {
        for (int64_t k = 0; k < shape[2]; ++k) {
          int16_t got;
          std::memcpy(&got, dest.data + 2 * ((i * shape[1] + j) * shape[2] + k), 2);
          std::byte want = whole.data[i * expected.strides[0] + j * expected.strides[1] +
                                      k * expected.strides[2]];
          CHECK_THAT(got == static_cast<int16_t>(want));
        }
      }
    }
  }
  return {};
}

std::string BoxesOutsideAreRefused() {
  Tensor whole = PatternTensor(DType::kFloat32, {4, 4}, 3);
  auto opened = WrittenAndOpened(
      {DictOf({{"x", Value::Of(whole)},
               {"empty", Value::Of(*Tensor::Allocate(DType::kInt8, Shape{3, 0}))}})});
  CHECK_OK(opened);
  const Entry& entry = **(*opened)->FindEntry("x");
  auto read = [&](const Shape& offsets, const Shape& steps, const Shape& shape, DType dtype) {
    return (*opened)->ReadBox(entry, offsets, steps, PatternTensor(dtype, shape, 0));
  };
  CHECK_OK(read({4, 0}, {1, 1}, {0, 4}, DType::kFloat32));
  CHECK_OK(read({0, 3}, {3, INT64_MAX}, {2, 1}, DType::kFloat64));
  CHECK_CODE(read({1, 0}, {1, 1}, {4, 4}, DType::kFloat32), Code::kInvalidArgument);
  CHECK_CODE(read({-1, 0}, {1, 1}, {1, 1}, DType::kFloat32), Code::kInvalidArgument);
  CHECK_CODE(read({0, 0}, {0, 1}, {1, 1}, DType::kFloat32), Code::kInvalidArgument);
  CHECK_CODE(read({0, 0}, {INT64_MAX, 1}, {3, 1}, DType::kFloat32), Code::kInvalidArgument);
  CHECK_CODE(read({0}, {1}, {1}, DType::kFloat32), Code::kInvalidArgument);
  CHECK_CODE(read({0, 0}, {1, 1}, {1, 1}, DType::kBits8), Code::kMismatch);
  Tensor frozen = PatternTensor(DType::kFloat32, {4, 4}, 0);
  frozen.read_only = true;
  CHECK_CODE((*opened)->ReadBox(entry, Shape{0, 0}, Shape{1, 1}, frozen), Code::kInvalidArgument);
  auto empty = (*opened)->ReadTensor(**(*opened)->FindEntry("empty"));
  CHECK_OK(empty);
  CHECK_THAT((empty->shape == Shape{3, 0}));
  return {};
}

std::string HolesAreErrors() {
  Tensor whole = PatternTensor(DType::kInt32, {10, 12}, 3);
  WrittenOptions options;
  // Validation would refuse it: the location is lost afterwards.
  options.change = [](Metadata& metadata) {
    Entry& entry = metadata.entries[0];
    entry.locations.erase(entry.locations.begin() + 3);
    entry.boxes.erase(entry.boxes.begin() + 12, entry.boxes.begin() + 16);
  };
  auto opened = WrittenAndOpened(Grid(whole, {0, 3, 4, 10}, {0, 7, 12}), options);
  CHECK_OK(opened);
  const Entry& entry = (*opened)->metadata().entries[0];
  auto read = (*opened)->ReadTensor(entry);
  CHECK_CODE(read, Code::kCorrupt);
  CHECK_THAT(read.status().message().find("5 of 120 elements") != std::string::npos);
  // What has no hole can be read, and steps may leap over one.
  Tensor rows = PatternTensor(DType::kInt32, {3, 12}, 0);
  CHECK_OK((*opened)->ReadBox(entry, Shape{0, 0}, Shape{1, 1}, rows));
  Tensor leaps = PatternTensor(DType::kInt32, {4, 12}, 0);
  CHECK_OK((*opened)->ReadBox(entry, Shape{0, 0}, Shape{2, 1}, leaps));
  return {};
}

std::string HugeClaimsAreNotBelieved() {
  WrittenOptions options;
  options.change = [](Metadata& metadata) {
    Entry& entry = metadata.entries[0];
    entry.size = {int64_t{1} << 40};
    entry.boxes = {0, int64_t{1} << 40};
  };
  ValuePtr state = DictOf({{"x", Value::Of(PatternTensor(DType::kFloat32, {4}, 3))}});
  auto opened = WrittenAndOpened({state}, options);
  CHECK_OK(opened);
  auto read = (*opened)->ReadTensor((*opened)->metadata().entries[0]);
  CHECK_CODE(read, Code::kLimit);
  CHECK_CODE((*opened)->ReadAll(true), Code::kLimit);
  return {};
}

std::string EverythingAtOnce() {
  ValuePtr state = SampleState(4);
  auto opened = WrittenAndOpened({state});
  CHECK_OK(opened);
  auto nested = (*opened)->ReadAll(true);
  CHECK_OK(nested);
  CHECK_THAT(Equal(**nested, *state));
  auto flat = (*opened)->ReadAll(false);
  CHECK_OK(flat);
  CHECK_THAT((*flat)->entries.size() == 7);
  CHECK_THAT(Equal(**(*flat)->Find("number"), *Value::Int(4)));
  CHECK_THAT(
      Equal(**(*flat)->Find("optimizer.betas"), **(*state->Find("optimizer"))->Find("betas")));
  return {};
}

std::string ReplacedWhileOpen() {
  std::shared_ptr<Store> store = NewMemoryStore();
  CHECK_OK(WriteCheckpoint(*store, {SampleState(1)}));
  auto opened = OpenIn(store);
  CHECK_OK(opened);
  const Entry& weight = **(*opened)->FindEntry("model.weight");
  CHECK_OK(store->Remove("__0_0.distcp"));
  auto gone = (*opened)->ReadTensor(weight);
  CHECK_CODE(gone, Code::kCorrupt);
  CHECK_THAT(gone.status().message().find("__0_0.distcp") != std::string::npos);
  CHECK_OK(WriteCheckpoint(*store, {SampleState(2)}));
  CHECK_OK(store->Remove("__0_0.distcp"));
  CHECK_CODE((*opened)->ReadTensor(weight), Code::kReplaced);
  CHECK_CODE((*opened)->ReadAll(true), Code::kReplaced);
  CHECK_CODE((*opened)->ReadObject(**(*opened)->FindEntry("name")), Code::kReplaced);
  return {};
}

std::string CancelledReads() {
  std::shared_ptr<Store> store = NewMemoryStore();
  CHECK_OK(WriteCheckpoint(*store, {SampleState(1)}));
  OpenOptions options;
  auto opened = Checkpoint::Open(store, options, NewEngine());
  CHECK_OK(opened);
  options.cancel.Cancel();
  CHECK_CODE((*opened)->ReadAll(true), Code::kCancelled);
  return {};
}

// `__N.metadata`: a save without collectives.
std::string RankLocalMetadata() {
  std::shared_ptr<Store> store = NewMemoryStore();
  Tensor whole = PatternTensor(DType::kInt32, {6, 4}, 3);
  for (int32_t rank = 0; rank < 3; ++rank) {
    std::unique_ptr<Store> lone = NewMemoryStore();
    ShardedTensor sharded;
    sharded.dtype = whole.dtype;
    sharded.global_shape = whole.shape;
    Shape offsets{2 * rank, 0};
    sharded.shards.push_back({offsets, whole.Slice(offsets, Shape{2, 4})});
    WrittenOptions options;
    options.change = [rank](Metadata& metadata) {
      metadata.files[0] = fmt::format("__{}_0.distcp", rank);
      metadata.storage_meta->save_id = "of all ranks";
    };
    CHECK_OK(WriteCheckpoint(
        *lone, {DictOf({{"x", Value::Of(sharded)}, {"rank", Value::Int(rank)}})}, options));
    auto data = ReadWholeFile(*lone, "__0_0.distcp", 1 << 20);
    auto metadata = ReadWholeFile(*lone, ".metadata", 1 << 20);
    CHECK_OK(data);
    CHECK_OK(metadata);
    CHECK_OK(WriteWholeFile(*store, fmt::format("__{}_0.distcp", rank), AsBytes(*data), false));
    CHECK_OK(WriteWholeFile(*store, fmt::format("__{}.metadata", rank), AsBytes(*metadata), false));
  }
  auto opened = OpenIn(store);
  CHECK_OK(opened);
  auto tensor = (*opened)->ReadTensor(**(*opened)->FindEntry("x"));
  CHECK_OK(tensor);
  CHECK_THAT(EqualElements(*tensor, whole));
  auto rank = (*opened)->ReadObject(**(*opened)->FindEntry("rank"));
  CHECK_OK(rank);
  CHECK_THAT(Equal(**rank, *Value::Int(0)));
  auto verified = (*opened)->Verify({}, CancelToken());
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty());

  // One that vanishes while the others are read is looked for again.
  auto watched = std::make_shared<FaultStore>(store);
  watched->FailLine("open __1.metadata", Status(Code::kNotFound, "gone"));
  CHECK_OK(OpenIn(watched));
  watched->FailLine("open __1.metadata", Status(Code::kNotFound, "gone"),
                    FaultStore::Times::kFromThenOn);
  CHECK_CODE(OpenIn(watched), Code::kNotFound);
  // A rank that is missing is noted.
  CHECK_OK(store->Remove("__1.metadata"));
  opened = OpenIn(store);
  CHECK_OK(opened);
  CHECK_THAT((*opened)->metadata().notes.size() == 1);
  CHECK_THAT((*opened)->metadata().notes[0].find("__1.metadata is missing") == 0);
  CHECK_CODE((*opened)->ReadTensor(**(*opened)->FindEntry("x")), Code::kCorrupt);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::NothingCommitted>),
      cmocka_unit_test(dcp::Checked<dcp::EntriesAreFoundByName>),
      cmocka_unit_test(dcp::Checked<dcp::NearNamesAreBounded>),
      cmocka_unit_test(dcp::Checked<dcp::KindsAreKeptApart>),
      cmocka_unit_test(dcp::Checked<dcp::WholeTensorsComeFromTheirChunks>),
      cmocka_unit_test(dcp::Checked<dcp::BoxesWithSteps>),
      cmocka_unit_test(dcp::Checked<dcp::LargeStepsReadOnlyWhatTheyNeed>),
      cmocka_unit_test(dcp::Checked<dcp::BoxesOutsideAreRefused>),
      cmocka_unit_test(dcp::Checked<dcp::HolesAreErrors>),
      cmocka_unit_test(dcp::Checked<dcp::HugeClaimsAreNotBelieved>),
      cmocka_unit_test(dcp::Checked<dcp::EverythingAtOnce>),
      cmocka_unit_test(dcp::Checked<dcp::ReplacedWhileOpen>),
      cmocka_unit_test(dcp::Checked<dcp::CancelledReads>),
      cmocka_unit_test(dcp::Checked<dcp::RankLocalMetadata>),
  };
  return cmocka_run_group_tests_name("catalog/checkpoint", tests, nullptr, nullptr);
}
