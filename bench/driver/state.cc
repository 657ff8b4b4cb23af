#include "state.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "arguments.h"
#include "payload.h"

namespace dcp::bench {
namespace {

std::unique_ptr<char, FreeMemory> Allocate(uint64_t bytes) {
  constexpr uint64_t kAlign = 64;
  uint64_t whole = (bytes + kAlign - 1) / kAlign * kAlign;
  std::unique_ptr<char, FreeMemory> memory(
      static_cast<char*>(std::aligned_alloc(kAlign, whole == 0 ? kAlign : whole)));
  if (memory == nullptr) Die(fmt::format("no memory for {} bytes", bytes));
  return memory;
}

TensorPlan Parse(const std::string& path, const std::string& line) {
  std::istringstream fields(line);
  std::string name, dtype, shape, size;
  if (!std::getline(fields, name, '\t') || !std::getline(fields, dtype, '\t')) {
    Die(fmt::format("{} has a line without a name and a dtype", path));
  }
  TensorPlan plan = {name, dcp_dtype_from_name(dtype.c_str()), {}, 0};
  if (plan.dtype == 0) Die(fmt::format("{} names an unknown dtype {}", path, dtype));
  plan.bytes = static_cast<uint64_t>(dcp_dtype_size(plan.dtype));
  std::getline(fields, shape, '\t');
  std::istringstream sizes(shape);
  while (std::getline(sizes, size, ',')) {
    plan.shape.push_back(std::strtoll(size.c_str(), nullptr, 10));
    plan.bytes *= static_cast<uint64_t>(plan.shape.back());
  }
  return plan;
}

}  // namespace

std::vector<TensorPlan> ReadLayout(const std::string& path) {
  std::ifstream file(path);
  std::vector<TensorPlan> tensors;
  std::string line;
  while (std::getline(file, line)) tensors.push_back(Parse(path, line));
  if (tensors.empty()) Die(fmt::format("there is no layout in {}", path));
  return tensors;
}

void CheckPayload(std::string_view name, const void* memory, uint64_t bytes, uint64_t seed,
                  uint64_t offset) {
  uint64_t same = bench_payload_check(memory, bytes, seed, offset);
  if (same != bytes) Die(fmt::format("{} differs at byte {} of {}", name, same, bytes));
}

State::State(std::vector<TensorPlan> tensors, Fill fill) : tensors_(std::move(tensors)) {
  memories_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    memories_.push_back(Allocate(tensors_[i].bytes));
    if (fill == Fill::kPayload) {
      bench_payload_fill(memories_[i].get(), tensors_[i].bytes, i, 0);
    } else {
      std::memset(memories_[i].get(), 0xee, tensors_[i].bytes);
    }
  }
}

StateHandle State::Dict() const {
  StateHandle state;
  bench::Check(
      cli::Try([&](dcp_error** error) { return dcp_state_dict_new(cli::Out(state), error); }));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorPlan& tensor = tensors_[i];
    dcp_tensor_view view = {};
    view.struct_size = sizeof view;
    view.dtype = tensor.dtype;
    view.ndim = static_cast<int32_t>(tensor.shape.size());
    view.shape = tensor.shape.data();
    view.data = memories_[i].get();
    bench::Check(cli::Try([&](dcp_error** error) {
      return dcp_state_dict_set_tensor(state.get(), tensor.name.data(), tensor.name.size(), &view,
                                       error);
    }));
  }
  return state;
}

void State::Check() const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    CheckPayload(tensors_[i].name, memories_[i].get(), tensors_[i].bytes, i, 0);
  }
}

uint64_t State::bytes() const {
  uint64_t total = 0;
  for (const TensorPlan& tensor : tensors_) total += tensor.bytes;
  return total;
}

std::unique_ptr<char, FreeMemory> Payload(uint64_t bytes, uint64_t seed) {
  std::unique_ptr<char, FreeMemory> memory = Allocate(bytes);
  bench_payload_fill(memory.get(), bytes, seed, 0);
  return memory;
}

}  // namespace dcp::bench
