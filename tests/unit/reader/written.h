// A checkpoint's data files written by WriteItems, and metadata that finds them again.
#ifndef DCP_TESTS_UNIT_READER_WRITTEN_H_
#define DCP_TESTS_UNIT_READER_WRITTEN_H_

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "metadata/metadata.h"
#include "reader/reader.h"
#include "storage/open.h"
#include "support/case_swap.h"
#include "value/cast.h"
#include "value/value.h"
#include "writer/writer.h"

namespace dcp {

// One-chunk tensors and objects, by name.
struct Items {
  std::vector<std::string> names;
  std::vector<Tensor> tensors;  // parallel to names; unused for objects
  std::vector<ValuePtr> objects;

  void Add(std::string name, Tensor tensor) {
    names.push_back(std::move(name));
    tensors.push_back(std::move(tensor));
    objects.push_back(nullptr);
  }
  void Add(std::string name, ValuePtr object) {
    names.push_back(std::move(name));
    tensors.emplace_back();
    objects.push_back(std::move(object));
  }
};

struct Written {
  std::shared_ptr<Store> store;
  Metadata metadata;
  WriteOutcome outcome;
};

inline WriterOptions SmallWriterOptions() {
  WriterOptions options;
  options.durable = false;
  options.pool = BufferPool::Create(1 << 20, 128 << 10);
  options.file_name = [](size_t file) { return fmt::format("__0_{}.distcp", file); };
  return options;
}

// `item_crcs`: the metadata gets the CRC of each item, as our own checkpoints have it.
inline Status WriteAll(const Items& items, const WriterOptions& options, bool item_crcs,
                       std::shared_ptr<Store> store, Written* out) {
  std::vector<WriteJob> jobs;
  for (size_t i = 0; i < items.names.size(); ++i) {
    WriteJob job;
    job.name = items.names[i];
    if (items.objects[i] != nullptr) {
      job.object = items.objects[i].get();
    } else {
      job.tensor = &items.tensors[i];
      job.global_bytes = items.tensors[i].num_bytes();
    }
    jobs.push_back(job);
  }
  DCP_ASSIGN_OR_RETURN(out->outcome, WriteItems(*store, jobs, options));
  out->store = std::move(store);
  Metadata& metadata = out->metadata;
  metadata.files = out->outcome.files;
  if (!options.transforms.empty()) {
    metadata.transform_sets.push_back(DescriptorsFor(options.transforms));
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    Entry entry;
    entry.name = items.names[i];
    if (jobs[i].tensor != nullptr) {
      entry.kind = EntryKind::kTensor;
      entry.properties.dtype = jobs[i].tensor->dtype;
      entry.size = jobs[i].tensor->shape;
      entry.boxes.assign(entry.size.size(), 0);
      entry.boxes.insert(entry.boxes.end(), entry.size.begin(), entry.size.end());
    }
    Location location;
    location.file = out->outcome.items[i].file;
    location.offset = out->outcome.items[i].offset;
    location.length = out->outcome.items[i].length;
    location.crc32 = out->outcome.items[i].crc32;
    location.has_crc32 = item_crcs;
    location.transforms = options.transforms.empty() ? 0 : 1;
    entry.locations.push_back(location);
    metadata.entries.push_back(std::move(entry));
  }
  metadata.BuildIndex();
  return Status::Ok();
}

inline std::shared_ptr<const TransformRegistry> Registry() {
  auto registry = std::make_shared<TransformRegistry>();
  static_cast<void>(registry->Add(NewCaseSwapTransform()));
  return registry;
}

inline ReaderOptions SmallReaderOptions(const TransformRegistry& registry) {
  ReaderOptions options;
  options.pool = BufferPool::Create(1 << 20, 128 << 10);
  options.transforms = &registry;
  options.threads = 2;
  return options;
}

// The whole of an entry's only chunk.
inline TensorRead ReadOf(const Entry& entry, const Tensor& dest) {
  static const Shape zeros(kMaxDims, 0);
  TensorRead read;
  read.entry = &entry;
  read.storage_offsets = Dims(zeros).first(entry.size.size());
  read.lengths = entry.size;
  read.dest = dest;
  return read;
}

// A tensor of random bytes whose dimensions may be permuted, with gaps, or repeated (stride 0).
struct Strided {
  std::vector<std::byte> bytes;
  Tensor tensor;
};

inline Strided MakeStrided(std::mt19937_64& random, DType dtype, const Shape& shape, bool plain,
                           bool repeats) {
  const int64_t item = DTypeSize(dtype);
  Shape strides(shape.size());
  std::vector<size_t> order;
  for (size_t i = shape.size(); i-- > 0;) order.push_back(i);
  int64_t step = 1;
  if (!plain) {
    std::shuffle(order.begin(), order.end(), random);
    if (random() % 3 == 0) step = 2;
  }
  for (size_t dim : order) {
    strides[dim] = step;
    if (repeats && random() % 4 == 0) {
      strides[dim] = 0;
      continue;
    }
    step *= std::max<int64_t>(shape[dim], 1);
    if (!plain && random() % 3 == 0) step += static_cast<int64_t>(random() % 3);
  }
  Strided made;
  const int64_t extent = *StorageExtent(shape, strides);
  made.bytes.resize(static_cast<size_t>(std::max<int64_t>(extent, 1) * item));
  for (std::byte& one : made.bytes) {
    one = dtype == DType::kBool ? std::byte(random() % 2) : std::byte(random());
  }
  made.tensor = *Tensor::Borrow(dtype, shape, strides, made.bytes.data());
  return made;
}

}  // namespace dcp

#endif  // DCP_TESTS_UNIT_READER_WRITTEN_H_
