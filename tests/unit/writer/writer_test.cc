#include "writer/writer.h"

#include <algorithm>
#include <random>
#include <set>

#include "base/checksum.h"
#include "storage/open.h"
#include "support/case_swap.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "tensorio/object_item.h"
#include "tensorio/tensor_item.h"
#include "value/value.h"
#include "writer/file_assignment.h"

namespace dcp {
namespace {

WriterOptions Options() {
  WriterOptions options;
  options.pool = BufferPool::Create(1 << 20, 128 << 10);
  options.file_name = [](size_t file) { return fmt::format("__0_{}.distcp", file); };
  return options;
}

Tensor Filled(std::mt19937_64& random, DType dtype, const Shape& shape) {
  Tensor tensor = *Tensor::Allocate(dtype, shape);
  for (int64_t i = 0; i < tensor.num_bytes(); ++i) tensor.data[i] = std::byte(random());
  return tensor;
}

std::string FileBytes(const Store& store, const std::string& name) {
  auto bytes = ReadWholeFile(store, name, 1 << 30);
  return bytes.ok() ? *bytes : bytes.status().ToString();
}

// The tensor that an item of a file holds, row-major.
std::string ReadBack(std::string_view file, const WrittenItem& item, std::vector<std::byte>* out) {
  CHECK_THAT(item.offset + item.length <= file.size());
  const std::string_view bytes = file.substr(item.offset, item.length);
  CHECK_THAT(Crc32(0, AsBytes(bytes)) == item.crc32);
  const MemorySource source(AsBytes(bytes));
  auto stored = ParseTensorItem(source);
  CHECK_OK(stored);
  std::vector<std::byte> payload(stored->data_size);
  bool checked = false;
  CHECK_OK(ReadPayload(source, *stored, payload, &checked));
  CHECK_THAT(checked);
  Tensor box = *Tensor::Allocate(stored->dtype, stored->shape);
  ExtractBox(*stored, payload, Shape(stored->shape.size(), 0), box);
  out->assign(box.data, box.data + box.num_bytes());
  return {};
}

std::vector<std::byte> RowMajor(const Tensor& tensor) {
  std::vector<std::byte> out(static_cast<size_t>(tensor.num_bytes()));
  GatherElements(tensor, 0, tensor.num_elements(), out.data());
  return out;
}

std::string EveryMemoryLayoutIsStored() {
  std::mt19937_64 random(std::random_device{}());
  std::vector<Tensor> tensors;
  Tensor base = Filled(random, DType::kComplex128, {90, 121});
  tensors.push_back(base);
  tensors.push_back(base.Slice(Shape{1, 3}, Shape{80, 100}));  // gaps: gathered
  Tensor turned = base;
  std::swap(turned.shape[0], turned.shape[1]);
  std::swap(turned.strides[0], turned.strides[1]);
  tensors.push_back(turned);
  Tensor expanded = *Tensor::Borrow(DType::kFloat32, Shape{300, 200}, Shape{0, 1}, base.data);
  tensors.push_back(expanded);
  tensors.push_back(Filled(random, DType::kFloat32, {0, 4}));
  tensors.push_back(Filled(random, DType::kInt16, {}));
  tensors.push_back(Filled(random, DType::kUInt8, {(1 << 20) + 7}));
  std::vector<WriteJob> jobs;
  for (const Tensor& tensor : tensors) jobs.push_back({"t", &tensor, nullptr, 0});

  for (bool transformed : {false, true}) {
    WriterOptions options = Options();
    if (transformed) options.transforms = {NewCaseSwapTransform()};
    auto store = NewMemoryStore();
    auto outcome = WriteItems(*store, jobs, options);
    CHECK_OK(outcome);
    CHECK_THAT(outcome->files == std::vector<std::string>{"__0_0.distcp"});
    const std::string file = FileBytes(*store, outcome->files[0]);
    CHECK_THAT(outcome->bytes == file.size());
    for (size_t i = 0; i < tensors.size() && !transformed; ++i) {
      std::vector<std::byte> found;
      std::string failure = ReadBack(file, outcome->items[i], &found);
      if (!failure.empty()) return failure;
      CHECK_THAT(found == RowMajor(tensors[i]));
    }
    if (!transformed) continue;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const WrittenItem& item = outcome->items[i];
      TransformRegistry registry;
      CHECK_OK(registry.Add(NewCaseSwapTransform()));
      const std::vector<std::string> descriptors = DescriptorsFor(options.transforms);
      const std::string_view raw = std::string_view(file).substr(item.offset, item.length);
      CHECK_THAT(Crc32(0, AsBytes(raw)) == item.crc32);
      auto decoded = DecodeAll(registry, descriptors, AsBytes(raw), 1 << 28);
      CHECK_OK(decoded);
      WrittenItem whole{0, 0, decoded->size(), Crc32(0, AsBytes(*decoded))};
      std::vector<std::byte> found;
      std::string failure = ReadBack(*decoded, whole, &found);
      if (!failure.empty()) return failure;
      CHECK_THAT(found == RowMajor(tensors[i]));
    }
  }
  return {};
}

std::string LargePayloadsBeginOnPages() {
  std::mt19937_64 random(1);
  const Tensor small = Filled(random, DType::kUInt8, {1000});
  const Tensor large = Filled(random, DType::kUInt8, {100000});
  const WriteJob jobs[] = {{"a", &small, nullptr, 0},
                           {"b", &large, nullptr, 0},
                           {"c", &small, nullptr, 0},
                           {"d", &large, nullptr, 0}};
  WriterOptions options = Options();
  options.align_from = 50000;
  auto store = NewMemoryStore();
  auto outcome = WriteItems(*store, jobs, options);
  CHECK_OK(outcome);
  const std::string file = FileBytes(*store, outcome->files[0]);
  uint64_t end = 0;
  for (size_t i = 0; i < 4; ++i) {
    const WrittenItem& item = outcome->items[i];
    const MemorySource source(AsBytes(std::string_view(file).substr(item.offset, item.length)));
    auto stored = ParseTensorItem(source);
    CHECK_OK(stored);
    if (i % 2 == 1) {
      CHECK_THAT((item.offset + stored->data_offset) % 4096 == 0);
      CHECK_THAT(stored->block_table_offset.has_value());
    } else {
      CHECK_THAT(item.offset == end);  // no gap in front of small ones
    }
    CHECK_THAT(item.offset - end < 4096);
    for (uint64_t at = end; at < item.offset; ++at) CHECK_THAT(file[at] == '\0');
    end = item.offset + item.length;
  }
  CHECK_THAT(end == file.size());
  return {};
}

std::string FilesAreFilledAsUpstreamDoes() {
  std::vector<Tensor> tensors;
  for (int64_t size : {10, 50, 30, 30, 20}) {
    tensors.push_back(*Tensor::Allocate(DType::kUInt8, Shape{size}));
  }
  const ValuePtr object = Value::Int(7);
  std::vector<WriteJob> jobs;
  for (const Tensor& tensor : tensors) {
    jobs.push_back({"t", &tensor, nullptr, tensor.num_bytes()});
    jobs.push_back({"o", nullptr, object.get(), 0});
  }
  // Jobs: t10 o t50 o t30 o t30 o t20 o, numbers 0 to 9.
  const FileAssignment one = AssignFiles(jobs, 1, false);
  CHECK_THAT((one.order == std::vector<uint32_t>{1, 3, 5, 7, 9, 0, 2, 4, 6, 8}));
  const FileAssignment two = AssignFiles(jobs, 2, false);
  const auto first = two.jobs(0);
  const auto second = two.jobs(1);
  // 50 | 30 30 | then 20 on 50, 10 on 60.
  CHECK_THAT(
      (std::vector<uint32_t>(first.begin(), first.end()) == std::vector<uint32_t>{1, 5, 9, 2, 8}));
  CHECK_THAT((std::vector<uint32_t>(second.begin(), second.end()) ==
              std::vector<uint32_t>{3, 7, 4, 6, 0}));
  jobs[0].global_bytes = 1000;  // a shard counts as its whole tensor
  CHECK_THAT(AssignFiles(jobs, 2, false).jobs(0)[3] == 0);
  const FileAssignment each = AssignFiles(jobs, 2, true);
  CHECK_THAT(each.files() == jobs.size() && each.jobs(4)[0] == 4);
  return {};
}

std::string AllFilesAreMade() {
  const Tensor tensor = *Tensor::Allocate(DType::kUInt8, Shape{3});
  const WriteJob job{"t", &tensor, nullptr, 3};
  WriterOptions options = Options();
  options.files = 3;
  auto store = NewMemoryStore();
  auto outcome = WriteItems(*store, {&job, 1}, options);
  CHECK_OK(outcome);
  CHECK_THAT(outcome->files.size() == 3);
  CHECK_THAT(FileBytes(*store, "__0_0.distcp").size() == outcome->items[0].length);
  CHECK_THAT(FileBytes(*store, "__0_1.distcp").empty());
  CHECK_THAT(FileBytes(*store, "__0_2.distcp").empty());
  store = NewMemoryStore();
  auto nothing = WriteItems(*store, {}, options);
  CHECK_OK(nothing);
  CHECK_THAT(store->List()->size() == 3 && nothing->bytes == 0);
  return {};
}

std::string WrongArgumentsAreRefused() {
  auto store = NewMemoryStore();
  const Tensor tensor = *Tensor::Allocate(DType::kUInt8, Shape{3});
  const WriteJob neither{"t", nullptr, nullptr, 0};
  CHECK_CODE(WriteItems(*store, {&neither, 1}, Options()), Code::kInvalidArgument);
  const WriteJob job{"t", &tensor, nullptr, 3};
  WriterOptions options = Options();
  options.pool = nullptr;
  CHECK_CODE(WriteItems(*store, {&job, 1}, options), Code::kInvalidArgument);
  options = Options();
  options.files = 0;
  CHECK_CODE(WriteItems(*store, {&job, 1}, options), Code::kInvalidArgument);
  const Tensor quantized = *Tensor::Allocate(DType::kQInt8, Shape{3});
  const WriteJob unsaveable{"the.name", &quantized, nullptr, 3};
  auto refused = WriteItems(*store, {&unsaveable, 1}, Options());
  CHECK_CODE(refused, Code::kUnsupported);
  CHECK_THAT(refused.status().message().find("the.name") != std::string::npos);
  CHECK_THAT(store->List()->empty());
  Tensor elsewhere = tensor;
  elsewhere.device = {2, 1};
  const WriteJob device{"t", &elsewhere, nullptr, 3};
  CHECK_CODE(WriteItems(*store, {&device, 1}, Options()), Code::kUnsupported);
  return {};
}

class FakeDevice final : public DeviceCopier {
 public:
  bool Handles(Device device) const override { return device.type == 2; }
  Status ToHost(Device, const void* from, MutableBytes to) override {
    std::memcpy(to.data(), from, to.size());
    return Status::Ok();
  }
  Status ToDevice(Device, Bytes from, void* to) override {
    std::memcpy(to, from.data(), from.size());
    return Status::Ok();
  }
};

std::string DeviceTensorsPassThroughTheCopier() {
  std::mt19937_64 random(2);
  FakeDevice device;
  Tensor tensor = Filled(random, DType::kFloat32, {300, 400});
  const std::vector<std::byte> expected = RowMajor(tensor);
  tensor.device = {2, 0};
  const Tensor part = tensor.Slice(Shape{0, 0}, Shape{300, 7});
  WriterOptions options = Options();
  options.copier = &device;
  auto store = NewMemoryStore();
  const WriteJob jobs[] = {{"whole", &tensor, nullptr, 0}, {"part", &part, nullptr, 0}};
  auto outcome = WriteItems(*store, {jobs, 1}, options);
  CHECK_OK(outcome);
  std::vector<std::byte> found;
  std::string failure = ReadBack(FileBytes(*store, outcome->files[0]), outcome->items[0], &found);
  if (!failure.empty()) return failure;
  CHECK_THAT(found == expected);
  CHECK_CODE(WriteItems(*store, {jobs + 1, 1}, options), Code::kUnsupported);
  return {};
}

struct FaultCase {
  std::vector<Tensor> tensors;
  ValuePtr object = Value::String("text");
  std::vector<WriteJob> jobs;
  FaultCase() {
    std::mt19937_64 random(3);
    tensors.push_back(Filled(random, DType::kFloat32, {100000}));
    tensors.push_back(Filled(random, DType::kFloat32, {10}));
    tensors.push_back(Filled(random, DType::kFloat32, {50000}));
    for (const Tensor& tensor : tensors) jobs.push_back({"t", &tensor, nullptr, 0});
    jobs.push_back({"o", nullptr, object.get(), 0});
  }
};

std::string EveryFaultIsReportedAndCleanedUp() {
  const FaultCase data;
  WriterOptions options = Options();
  options.files = 2;
  size_t calls;
  {
    FaultStore store(NewMemoryStore());
    CHECK_OK(WriteItems(store, data.jobs, options));
    calls = store.call_count();
  }
  CHECK_THAT(calls > 10);
  for (size_t number = 0; number < calls; ++number) {
    for (auto effect : {FaultStore::Effect::kInstead, FaultStore::Effect::kAfter}) {
      std::shared_ptr<Store> inner = NewMemoryStore();
      FaultStore store(inner);
      store.FailCall(number, Status(Code::kIo, "the disk is on fire"), FaultStore::Times::kOnce,
                     effect);
      auto outcome = WriteItems(store, data.jobs, options);
      CHECK_CODE(outcome, Code::kIo);
      CHECK_THAT(outcome.status().message().find("the disk is on fire") != std::string::npos);
      CHECK_THAT(outcome.status().message().find("__0_") != std::string::npos ||
                 store.Lines()[number].starts_with("create"));
      auto left = inner->List();
      CHECK_OK(left);
      CHECK_THAT(left->empty());
    }
  }
  return {};
}

std::string CancellingStopsAndCleansUp() {
  const FaultCase data;
  std::shared_ptr<Store> inner = NewMemoryStore();
  FaultStore store(inner);
  WriterOptions options = Options();
  store.SetHook([&](size_t number, const std::string&) {
    if (number == 3) options.cancel.Cancel();
  });
  CHECK_CODE(WriteItems(store, data.jobs, options), Code::kCancelled);
  CHECK_THAT(inner->List()->empty());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::EveryMemoryLayoutIsStored>),
      cmocka_unit_test(dcp::Checked<dcp::LargePayloadsBeginOnPages>),
      cmocka_unit_test(dcp::Checked<dcp::FilesAreFilledAsUpstreamDoes>),
      cmocka_unit_test(dcp::Checked<dcp::AllFilesAreMade>),
      cmocka_unit_test(dcp::Checked<dcp::WrongArgumentsAreRefused>),
      cmocka_unit_test(dcp::Checked<dcp::DeviceTensorsPassThroughTheCopier>),
      cmocka_unit_test(dcp::Checked<dcp::EveryFaultIsReportedAndCleanedUp>),
      cmocka_unit_test(dcp::Checked<dcp::CancellingStopsAndCleansUp>),
  };
  return cmocka_run_group_tests_name("writer/writer", tests, nullptr, nullptr);
}
