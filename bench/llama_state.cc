// Saves and loads a training state with Llama 3's layers, at a quarter of their width: bfloat16
// weights, float32 master weights, exp_avg and exp_avg_sq, random bytes. Each round measures the
// disk's own limit, the save, the limit again and the load, so that all four see the same disk.
//   llama_state FOLDER [rounds] [layers]
#include <dcp.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/handles.h"
#include "cli/progress_bar.h"
#include "cli/text.h"
#include "disk_limit.h"

namespace dcp::bench {
namespace {

using StateHandle = std::unique_ptr<dcp_state_dict, cli::Freer<dcp_state_dict_free>>;
using ReportHandle = std::unique_ptr<dcp_load_report, cli::Freer<dcp_load_report_free>>;

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
};

std::vector<Parameter> Parameters(int layers) {
  constexpr int64_t kWidth = 1024, kKeys = 256, kInner = 3584, kWords = 8016;
  std::vector<Parameter> all = {{"model.embed_tokens.weight", {kWords, kWidth}},
                                {"model.norm.weight", {kWidth}}};
  for (int i = 0; i < layers; ++i) {
    std::string layer = fmt::format("model.layers.{}.", i);
    all.push_back({layer + "self_attn.q_proj.weight", {kWidth, kWidth}});
    all.push_back({layer + "self_attn.k_proj.weight", {kKeys, kWidth}});
    all.push_back({layer + "self_attn.v_proj.weight", {kKeys, kWidth}});
    all.push_back({layer + "self_attn.o_proj.weight", {kWidth, kWidth}});
    all.push_back({layer + "mlp.gate_proj.weight", {kInner, kWidth}});
    all.push_back({layer + "mlp.up_proj.weight", {kInner, kWidth}});
    all.push_back({layer + "mlp.down_proj.weight", {kWidth, kInner}});
    all.push_back({layer + "input_layernorm.weight", {kWidth}});
    all.push_back({layer + "post_attention_layernorm.weight", {kWidth}});
  }
  return all;
}

struct Named {
  std::string name;
  int32_t dtype;
  std::vector<int64_t> shape;
  uint64_t offset;  // in the memory of the state
  uint64_t bytes;
};

// All tensors one behind the other, each at a multiple of 64.
std::vector<Named> LayOut(int layers, uint64_t* total) {
  std::vector<Named> tensors;
  *total = 0;
  auto add = [&](std::string name, int32_t dtype, const std::vector<int64_t>& shape) {
    uint64_t bytes = static_cast<uint64_t>(dcp_dtype_size(dtype));
    for (int64_t size : shape) bytes *= static_cast<uint64_t>(size);
    tensors.push_back({std::move(name), dtype, shape, *total, bytes});
    *total += (bytes + 63) / 64 * 64;
  };
  for (const Parameter& parameter : Parameters(layers)) {
    add(parameter.name, DCP_BFLOAT16, parameter.shape);
    for (const char* part : {"master", "exp_avg", "exp_avg_sq"}) {
      add(fmt::format("optimizer.{}.{}", parameter.name, part), DCP_FLOAT32, parameter.shape);
    }
  }
  return tensors;
}

using Memory = std::unique_ptr<char, FreeMemory>;

Memory Allocate(uint64_t bytes) {
  Memory memory(static_cast<char*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)));
  if (memory == nullptr) {
    fmt::print(stderr, "no memory for {}\n", cli::HumanBytes(bytes));
    std::exit(1);
  }
  std::memset(memory.get(), 0, bytes);
  return memory;
}

void FillRandom(char* memory, uint64_t bytes) {
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (uint64_t at = 0; at + 8 <= bytes; at += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(memory + at, &state, 8);
  }
}

void Check(const cli::Failure& failure) {
  if (!failure) return;
  fmt::print(stderr, "llama_state: {}\n", failure.message());
  std::exit(1);
}

StateHandle StateOver(const std::vector<Named>& tensors, char* memory) {
  StateHandle state;
  Check(cli::Try([&](dcp_error** error) { return dcp_state_dict_new(cli::Out(state), error); }));
  for (const Named& tensor : tensors) {
    dcp_tensor_view view = {};
    view.struct_size = sizeof view;
    view.dtype = tensor.dtype;
    view.ndim = static_cast<int32_t>(tensor.shape.size());
    view.shape = tensor.shape.data();
    view.data = memory + tensor.offset;
    Check(cli::Try([&](dcp_error** error) {
      return dcp_state_dict_set_tensor(state.get(), tensor.name.data(), tensor.name.size(), &view,
                                       error);
    }));
  }
  return state;
}

double Seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

// Out of the page cache, so that a load reads the disk.
void Forget(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

DiskLimit Limit(const std::string& folder, uint64_t bytes) {
  DiskLimit limit;
  std::string error;
  if (!MeasureDisk(folder, bytes, &limit, &error)) {
    fmt::print(stderr, "llama_state: {}\n", error);
    std::exit(1);
  }
  return limit;
}

int Run(const std::string& folder, int rounds, int layers) {
  uint64_t total = 0;
  std::vector<Named> tensors = LayOut(layers, &total);
  uint64_t payload = 0;
  for (const Named& tensor : tensors) payload += tensor.bytes;
  Memory saved = Allocate(total);
  Memory loaded = Allocate(total);
  FillRandom(saved.get(), total);
  StateHandle from = StateOver(tensors, saved.get());
  StateHandle into = StateOver(tensors, loaded.get());
  fmt::print("{} tensors, {} ({} layers)\n", tensors.size(), cli::HumanBytes(payload), layers);
  std::fflush(stdout);

  cli::ProgressBar bar;
  cli::ContextHandle context;
  cli::StorageHandle storage;
  Check(cli::Try(
      [&](dcp_error** error) { return dcp_context_new(nullptr, cli::Out(context), error); }));
  if (isatty(STDERR_FILENO) == 1) Check(bar.Attach(context.get()));
  std::string where = folder + "/llama";
  Check(cli::Try([&](dcp_error** error) {
    return dcp_storage_open(where.c_str(), nullptr, cli::Out(storage), error);
  }));

  std::vector<double> disk_write, save, disk_read, load;
  double bytes = static_cast<double>(payload);
  fmt::print("{:>7} {:>12} {:>12} {:>12} {:>12}   (GB/s)\n", "round", "disk write", "save",
             "disk read", "load");
  for (int round = 1; round <= rounds; ++round) {
    std::error_code ignored;
    std::filesystem::remove_all(where, ignored);
    DiskLimit before = Limit(folder, payload);
    auto begin = std::chrono::steady_clock::now();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_save(context.get(), storage.get(), from.get(), nullptr, nullptr, error);
    }));
    double save_seconds = Seconds(begin);
    bar.Clear();
    DiskLimit between = Limit(folder, payload);
    Forget(where);
    std::memset(loaded.get(), 0, total);
    ReportHandle report;
    begin = std::chrono::steady_clock::now();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_load(context.get(), storage.get(), into.get(), nullptr, cli::Out(report), error);
    }));
    double load_seconds = Seconds(begin);
    bar.Clear();
    if (dcp_load_report_bytes_unverified(report.get()) != 0) {
      fmt::print(stderr, "llama_state: bytes were loaded unchecked\n");
      return 1;
    }
    for (const Named& tensor : tensors) {
      if (std::memcmp(saved.get() + tensor.offset, loaded.get() + tensor.offset, tensor.bytes) !=
          0) {
        fmt::print(stderr, "llama_state: {} came back different\n", tensor.name);
        return 1;
      }
    }
    double limit_bytes = static_cast<double>(before.bytes);
    disk_write.push_back(2 * limit_bytes / (before.write_seconds + between.write_seconds) / 1e9);
    save.push_back(bytes / save_seconds / 1e9);
    disk_read.push_back(2 * limit_bytes / (before.read_seconds + between.read_seconds) / 1e9);
    load.push_back(bytes / load_seconds / 1e9);
    fmt::print("{:>7} {:>12.2f} {:>12.2f} {:>12.2f} {:>12.2f}\n", round, disk_write.back(),
               save.back(), disk_read.back(), load.back());
    std::fflush(stdout);
  }
  std::error_code ignored;
  std::filesystem::remove_all(where, ignored);
  fmt::print("{:>7} {:>12.2f} {:>12.2f} {:>12.2f} {:>12.2f}\n", "median", Median(disk_write),
             Median(save), Median(disk_read), Median(load));
  fmt::print(
      "save at {:.0f}% and load at {:.0f}% of the disk's limit, synced, every byte checked, "
      "equal bit for bit\n",
      100 * Median(save) / Median(disk_write), 100 * Median(load) / Median(disk_read));
  return 0;
}

}  // namespace
}  // namespace dcp::bench

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: llama_state FOLDER [rounds] [layers]\n");
    return 2;
  }
  return dcp::bench::Run(argv[1], argc > 2 ? std::atoi(argv[2]) : 3,
                         argc > 3 ? std::atoi(argv[3]) : 5);
}
