#include "reader/box_runs.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "support/checks.h"

namespace dcp {
namespace {

// A stored tensor with its record in memory, dimensions in random order.
struct Record {
  StoredTensor stored;
  std::vector<std::byte> bytes;
  Tensor view;

  explicit Record(std::mt19937_64& random) {
    stored.dtype = random() % 2 == 0 ? DType::kInt16 : DType::kFloat64;
    const size_t ndim = random() % 5;
    for (size_t i = 0; i < ndim; ++i) {
      stored.shape.push_back(static_cast<int64_t>(1 + random() % 7));
    }
    std::vector<size_t> order(ndim);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    stored.strides.resize(ndim);
    int64_t step = 1;
    for (size_t dim : order) {
      stored.strides[dim] = step;
      step *= stored.shape[dim];
    }
    stored.storage_offset = static_cast<int64_t>(random() % 4);
    stored.data_size =
        static_cast<uint64_t>((stored.storage_offset + step + 2) * DTypeSize(stored.dtype));
    bytes.resize(stored.data_size);
    for (std::byte& one : bytes) one = std::byte(random());
    view = *Tensor::Borrow(stored.dtype, stored.shape, stored.strides,
                           bytes.data() + stored.storage_offset * DTypeSize(stored.dtype));
  }
};

std::string OneBox(std::mt19937_64& random) {
  const Record record(random);
  Shape offsets;
  Shape lengths;
  for (int64_t size : record.stored.shape) {
    offsets.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(size)));
    lengths.push_back(
        1 + static_cast<int64_t>(random() % static_cast<uint64_t>(size - offsets.back())));
  }
  const auto runs = BoxRuns::Create(record.stored, offsets, lengths);
  CHECK_THAT(runs.has_value());
  const Tensor expected = record.view.Slice(offsets, lengths);
  CHECK_THAT(runs->bytes() == static_cast<uint64_t>(expected.num_bytes()));

  Tensor dest = *Tensor::Allocate(record.stored.dtype, lengths);
  auto target = Destination::Create(runs->Reorder(dest), record.stored.dtype, nullptr);
  CHECK_OK(target);
  const uint64_t granule = random() % 2 == 0 ? 1 : 16;
  const uint64_t gap = random() % 3 * 16;
  const auto ranges = runs->Ranges(gap, granule, record.stored.data_size);
  uint64_t read = 0;
  uint64_t end = 0;
  for (const ByteRange& range : ranges) {
    CHECK_THAT(range.begin < range.end && range.end <= record.stored.data_size);
    CHECK_THAT(range.begin % granule == 0);
    CHECK_THAT(range.end % granule == 0 || range.end == record.stored.data_size);
    CHECK_THAT(end == 0 || range.begin > end + gap);
    end = range.end;
    read += range.size();
    // Each range in pieces, as a reader gets them.
    const uint64_t piece = 16 * (1 + random() % 6);
    for (uint64_t at = range.begin; at < range.end; at += piece) {
      const Bytes part = Bytes(record.bytes).subspan(at, std::min(piece, range.end - at));
      CHECK_OK(runs->Extract(at, part, *target));
    }
  }
  if (gap == 0 && granule == 1) CHECK_THAT(read == runs->bytes());
  CHECK_THAT(EqualElements(dest, expected));
  return {};
}

std::string RandomBoxes() {
  const uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  for (int i = 0; i < 3000; ++i) {
    const std::string failure = OneBox(random);
    if (!failure.empty()) return fmt::format("seed {}, round {}: {}", seed, i, failure);
  }
  return {};
}

std::string OddTensorsHaveNoRuns() {
  StoredTensor stored;
  stored.shape = {4, 4};
  stored.strides = {8, 1};
  const Shape zeros = {0, 0};
  CHECK_THAT(!BoxRuns::Create(stored, zeros, stored.shape));
  stored.strides = {0, 1};
  CHECK_THAT(!BoxRuns::Create(stored, zeros, stored.shape));
  stored.strides = {1, 4};
  CHECK_THAT(BoxRuns::Create(stored, zeros, stored.shape).has_value());
  stored.conj = true;
  CHECK_THAT(!BoxRuns::Create(stored, zeros, stored.shape));
  return {};
}

std::string RowsOfATableAreOneRange() {
  StoredTensor stored;
  stored.shape = {1000, 64};
  stored.strides = {64, 1};
  const Shape offsets = {100, 0};
  const Shape lengths = {50, 64};
  const auto rows = BoxRuns::Create(stored, offsets, lengths);
  CHECK_THAT(rows.has_value() && rows->count() == 1);
  CHECK_THAT(rows->span().begin == 100 * 256 && rows->span().end == 150 * 256);
  const Shape from = {0, 8};
  const Shape columns = {1000, 8};
  const auto narrow = BoxRuns::Create(stored, from, columns);
  CHECK_THAT(narrow.has_value() && narrow->count() == 1000);
  CHECK_THAT(narrow->Ranges(0, 1, 256000).size() == 1000);
  CHECK_THAT(narrow->Ranges(224, 1, 256000).size() == 1);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::RandomBoxes>),
      cmocka_unit_test(dcp::Checked<dcp::OddTensorsHaveNoRuns>),
      cmocka_unit_test(dcp::Checked<dcp::RowsOfATableAreOneRange>),
  };
  return cmocka_run_group_tests_name("reader/box_runs", tests, nullptr, nullptr);
}
