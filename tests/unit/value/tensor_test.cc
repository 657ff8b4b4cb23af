#include "value/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "support/cmocka.h"

namespace dcp {
namespace {

// Row-major order of element addresses, as bytes from `data`: the plain definition.
std::vector<int64_t> Addresses(const Tensor& tensor) {
  std::vector<int64_t> out;
  const int64_t item = DTypeSize(tensor.dtype);
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    int64_t rest = i;
    int64_t at = 0;
    for (size_t d = tensor.shape.size(); d-- > 0;) {
      at += rest % tensor.shape[d] * tensor.strides[d];
      rest /= tensor.shape[d];
    }
    out.push_back(at * item);
  }
  return out;
}

struct Sample {
  std::vector<std::byte> storage;
  Tensor tensor;
};

// A tensor with shuffled dimension order, gaps, and (when allowed) stride 0.
Sample MakeSample(std::mt19937& random, DType dtype, const Shape& shape, bool repeats) {
  std::vector<size_t> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  Shape strides(shape.size());
  int64_t step = 1 + static_cast<int64_t>(random() % 2);
  for (size_t d : order) {
    strides[d] = step;
    step *= shape[d] + static_cast<int64_t>(random() % 2);
    if (repeats && random() % 4 == 0) strides[d] = 0;
  }
  Sample sample;
  sample.storage.resize(static_cast<size_t>((step + 1) * DTypeSize(dtype)));
  for (std::byte& b : sample.storage) b = static_cast<std::byte>(random());
  sample.tensor = *Tensor::Borrow(dtype, shape, strides, sample.storage.data());
  return sample;
}

std::vector<std::byte> Dense(const Tensor& tensor) {
  const auto item = static_cast<size_t>(DTypeSize(tensor.dtype));
  std::vector<std::byte> out;
  for (int64_t at : Addresses(tensor)) {
    out.insert(out.end(), tensor.data + at, tensor.data + at + item);
  }
  return out;
}

int CountWrongCopies() {
  std::mt19937 random(7);
  const DType dtypes[] = {DType::kInt8, DType::kFloat16, DType::kFloat32, DType::kFloat64,
                          DType::kComplex128};
  int wrong = 0;
  for (int round = 0; round < 600; ++round) {
    const DType dtype = dtypes[random() % 5];
    const auto item = static_cast<size_t>(DTypeSize(dtype));
    Shape shape(random() % 5);
    for (int64_t& size : shape) size = 1 + static_cast<int64_t>(random() % 6);
    if (round % 50 == 0) shape = {70, 3, 90};
    if (round % 50 == 25) shape = {9, 3, 1400};  // long lines
    Sample from = MakeSample(random, dtype, shape, true);
    Sample to = MakeSample(random, dtype, shape, false);
    const std::vector<std::byte> expected = Dense(from.tensor);
    const std::vector<std::byte> before = to.storage;

    CopyElements(from.tensor, to.tensor);
    if (Dense(to.tensor) != expected) ++wrong;
    if (!EqualElements(from.tensor, to.tensor)) ++wrong;
    // Bytes between the elements stay as they were.
    std::vector<std::byte> gaps = to.storage;
    for (int64_t at : Addresses(to.tensor)) {
      std::memcpy(gaps.data() + at, before.data() + at, item);
    }
    if (gaps != before) ++wrong;

    const int64_t total = from.tensor.num_elements();
    const auto first = static_cast<int64_t>(random() % static_cast<uint64_t>(total));
    const auto count = static_cast<int64_t>(random() % static_cast<uint64_t>(total - first + 1));
    std::vector<std::byte> part(static_cast<size_t>(count) * item);
    GatherElements(from.tensor, first, count, part.data());
    const std::vector<std::byte> wanted(
        expected.begin() + first * static_cast<int64_t>(item),
        expected.begin() + (first + count) * static_cast<int64_t>(item));
    if (part != wanted) ++wrong;

    to.storage = before;
    to.tensor.data = to.storage.data();
    std::vector<std::byte> scattered = Dense(to.tensor);
    std::copy(wanted.begin(), wanted.end(), scattered.begin() + first * static_cast<int64_t>(item));
    ScatterElements(wanted.data(), first, count, to.tensor);
    if (Dense(to.tensor) != scattered) ++wrong;
  }
  return wrong;
}

void CopiesAgreeWithDefinition(void**) { assert_int_equal(CountWrongCopies(), 0); }

int32_t SliceSum() {
  std::vector<int32_t> data(24);
  std::iota(data.begin(), data.end(), 0);
  Tensor tensor = *Tensor::Borrow(DType::kInt32, Shape{2, 3, 4}, {}, data.data());
  Tensor slice = tensor.Slice(Shape{1, 0, 2}, Shape{1, 3, 2});
  std::vector<int32_t> out(6);
  GatherElements(slice, 0, 6, reinterpret_cast<std::byte*>(out.data()));
  const bool right = out == std::vector<int32_t>{14, 15, 18, 19, 22, 23};
  const bool empty = tensor.Slice(Shape{2, 0, 0}, Shape{0, 3, 4}).num_elements() == 0;
  return (right ? 1 : 0) + (empty ? 2 : 0);
}

void SlicesAreViews(void**) { assert_int_equal(SliceSum(), 3); }

Code BorrowCode(Shape shape, Shape strides, void* data) {
  return Tensor::Borrow(DType::kFloat64, shape, strides, data).status().code();
}

void RefusesImpossibleGeometry(void**) {
  double cell = 0;
  const int64_t big = int64_t{1} << 62;
  const Code codes[] = {
      BorrowCode({-1}, {}, &cell),           BorrowCode({2}, {-1}, &cell),
      BorrowCode({2}, {1, 1}, &cell),        BorrowCode({2}, {}, nullptr),
      BorrowCode({big, 4}, {}, &cell),       BorrowCode({big}, {}, &cell),
      BorrowCode({2, 2}, {big, big}, &cell), BorrowCode(Shape(65, 1), {}, &cell),
      BorrowCode({0, big, 16}, {}, nullptr), BorrowCode({}, {}, &cell),
  };
  const Code expected[] = {
      Code::kInvalidArgument,
      Code::kInvalidArgument,
      Code::kInvalidArgument,
      Code::kInvalidArgument,
      Code::kLimit,
      Code::kLimit,
      Code::kLimit,
      Code::kLimit,
      Code::kOk,
      Code::kOk,
  };
  assert_memory_equal(codes, expected, sizeof codes);
}

int AllocateFaults() {
  int faults = 0;
  Result<Tensor> tensor = Tensor::Allocate(DType::kFloat32, Shape{3, 5});
  if (!tensor.ok() || reinterpret_cast<uintptr_t>(tensor->data) % 64 != 0) ++faults;
  if (tensor.ok()) std::memset(tensor->data, 1, static_cast<size_t>(tensor->num_bytes()));
  if (!Tensor::Allocate(DType::kFloat32, Shape{0}).ok()) ++faults;
  if (Tensor::Allocate(DType::kFloat32, Shape{int64_t{1} << 62}).status().code() != Code::kLimit) {
    ++faults;
  }
  return faults;
}

void Allocates(void**) { assert_int_equal(AllocateFaults(), 0); }

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::CopiesAgreeWithDefinition),
      cmocka_unit_test(dcp::SlicesAreViews),
      cmocka_unit_test(dcp::RefusesImpossibleGeometry),
      cmocka_unit_test(dcp::Allocates),
  };
  return cmocka_run_group_tests_name("value/tensor", tests, nullptr, nullptr);
}
