// Parts of checkpoints: the metadata, mapped views, one tensor, rows of one.
#include <fmt/format.h>

#include <map>

#include "commands.h"
#include "counting_store.h"
#include "engine.h"
#include "measure.h"
#include "state.h"

namespace dcp::bench {
namespace {

dcp_entry_info Entry(dcp_checkpoint* checkpoint, size_t index) {
  dcp_entry_info info = {};
  info.struct_size = sizeof info;
  Check(cli::Try(
      [&](dcp_error** error) { return dcp_checkpoint_entry(checkpoint, index, &info, error); }));
  return info;
}

dcp_tensor_view View(const dcp_tensor* tensor) {
  dcp_tensor_view view = {};
  view.struct_size = sizeof view;
  Check(cli::Try([&](dcp_error** error) { return dcp_tensor_get_view(tensor, &view, error); }));
  return view;
}

// A tensor's elements, in the mapped file where they can be used in place.
struct Elements {
  size_t index;  // of the entry
  cli::TensorHandle tensor;
  bool mapped;
};

// Of a tensor in one chunk. What cannot be mapped is read.
Elements MapOrRead(dcp_checkpoint* checkpoint, size_t index) {
  Elements elements = {index, nullptr, true};
  cli::Failure failure = cli::Try([&](dcp_error** error) {
    return dcp_checkpoint_map(checkpoint, index, 0, cli::Out(elements.tensor), error);
  });
  if (failure.status() != DCP_UNSUPPORTED) {
    Check(failure);
    return elements;
  }
  elements.mapped = false;
  Check(cli::Try([&](dcp_error** error) {
    return dcp_checkpoint_tensor(checkpoint, index, cli::Out(elements.tensor), error);
  }));
  return elements;
}

}  // namespace

void OpenCommand(const Arguments& arguments) {
  std::string folder = arguments.Text("folder");
  Result result;
  uint64_t chunks = 0;
  Measure measure;
  Engine engine(folder, nullptr);
  cli::CheckpointHandle checkpoint = engine.Open();
  measure.Stop(&result);
  size_t entries = dcp_checkpoint_count(checkpoint.get());
  for (size_t i = 0; i < entries; ++i) chunks += Entry(checkpoint.get(), i).chunk_count;
  result.Add("entries", static_cast<uint64_t>(entries));
  result.Add("chunks", chunks);
  result.Print();
}

void MapCommand(const Arguments& arguments) {
  std::vector<TensorPlan> tensors = ReadLayout(arguments.Text("layout"));
  std::string folder = arguments.Text("folder");
  Result result;
  Measure measure;
  Engine engine(folder, nullptr);
  cli::CheckpointHandle checkpoint = engine.Open();
  std::vector<Elements> all;
  for (size_t i = 0; i < dcp_checkpoint_count(checkpoint.get()); ++i) {
    if (Entry(checkpoint.get(), i).kind == DCP_ENTRY_TENSOR) {
      all.push_back(MapOrRead(checkpoint.get(), i));
    }
  }
  measure.Stop(&result);
  if (all.size() != tensors.size()) {
    Die(fmt::format("{} tensors of {}", all.size(), tensors.size()));
  }
  std::map<std::string, size_t> seeds;
  for (size_t i = 0; i < tensors.size(); ++i) seeds[tensors[i].name] = i;
  uint64_t bytes = 0, read_bytes = 0, read_tensors = 0;
  for (const Elements& elements : all) {
    dcp_entry_info info = Entry(checkpoint.get(), elements.index);
    if (info.chunk_count != 1) Die("a tensor in several chunks");
    std::string name(info.name, info.name_size);
    CheckPayload(name, View(elements.tensor.get()).data, info.bytes, seeds.at(name), 0);
    bytes += info.bytes;
    read_bytes += elements.mapped ? 0 : info.bytes;
    read_tensors += elements.mapped ? 0 : 1;
  }
  result.Add("bytes", bytes);
  result.Add("tensors", static_cast<uint64_t>(all.size()));
  result.Add("read_bytes", read_bytes);
  result.Add("read_tensors", read_tensors);
  result.Print();
}

void TensorCommand(const Arguments& arguments) {
  std::string folder = arguments.Text("folder");
  std::string name = arguments.Text("name");
  uint64_t seed = arguments.Number("seed");
  Result result;
  cli::TensorHandle tensor;
  Measure measure;
  Engine engine(folder, nullptr);
  cli::CheckpointHandle checkpoint = engine.Open();
  size_t index = Find(checkpoint.get(), name);
  Check(cli::Try([&](dcp_error** error) {
    return dcp_checkpoint_tensor(checkpoint.get(), index, cli::Out(tensor), error);
  }));
  measure.Stop(&result);
  uint64_t bytes = Entry(checkpoint.get(), index).bytes;
  CheckPayload(name, View(tensor.get()).data, bytes, seed, 0);
  result.Add("bytes", bytes);
  result.Print();
}

void SliceCommand(const Arguments& arguments) {
  std::string folder = arguments.Text("folder");
  std::string name = arguments.Text("name");
  auto first = static_cast<int64_t>(arguments.Number("first"));
  auto rows = static_cast<int64_t>(arguments.Number("rows"));
  auto counts = std::make_shared<ReadCounts>();
  Result result;
  uint64_t unverified = 0;
  uint64_t row_bytes = 0;
  std::unique_ptr<char, FreeMemory> memory;
  {
    Measure measure;
    Engine engine(folder, nullptr);
    cli::StorageHandle counting;
    if (arguments.Number("counted", 0) != 0) counting = NewCountingStore(folder, counts);
    cli::CheckpointHandle checkpoint =
        counting != nullptr ? engine.Open(counting.get()) : engine.Open();
    size_t index = Find(checkpoint.get(), name);
    dcp_entry_info info = Entry(checkpoint.get(), index);
    if (info.ndim != 2 || first + rows > info.shape[0]) Die(name + " has no such rows");
    row_bytes = info.bytes / static_cast<uint64_t>(info.shape[0]);
    memory.reset(static_cast<char*>(std::malloc(row_bytes * static_cast<uint64_t>(rows))));
    if (memory == nullptr) Die("no memory for the rows");
    int64_t offsets[] = {first, 0};
    int64_t shape[] = {rows, info.shape[1]};
    dcp_tensor_view view = {};
    view.struct_size = sizeof view;
    view.dtype = info.dtype;
    view.ndim = 2;
    view.shape = shape;
    view.data = memory.get();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_checkpoint_read(checkpoint.get(), index, offsets, nullptr, &view, &unverified,
                                 error);
    }));
    measure.Stop(&result);
  }
  uint64_t bytes = row_bytes * static_cast<uint64_t>(rows);
  CheckPayload(name, memory.get(), bytes, arguments.Number("seed"),
               static_cast<uint64_t>(first) * row_bytes);
  result.Add("bytes", bytes);
  result.Add("unverified_bytes", unverified);
  result.Add("asked_data_bytes", counts->data_bytes.load());
  result.Add("asked_data_reads", counts->data_reads.load());
  result.Add("asked_metadata_bytes", counts->metadata_bytes.load());
  result.Print();
}

}  // namespace dcp::bench
