// The tensors of a benchmark: a layout (names, dtypes, shapes) and memory of that layout.
#ifndef DCP_BENCH_DRIVER_STATE_H_
#define DCP_BENCH_DRIVER_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/handles.h"
#include "disk_limit.h"

namespace dcp::bench {

using StateHandle = std::unique_ptr<dcp_state_dict, cli::Freer<dcp_state_dict_free>>;

struct TensorPlan {
  std::string name;
  int32_t dtype;
  std::vector<int64_t> shape;
  uint64_t bytes;
};

// A file of lines "name TAB dtype TAB size,size,..." (nothing after the last TAB: no dimensions).
// The line's number, from 0, is the seed of the tensor's payload. Dies when it is none.
std::vector<TensorPlan> ReadLayout(const std::string& path);

// Dies unless `memory` is bytes [offset, offset + bytes) of payload `seed`. `name` is for the
// message.
void CheckPayload(std::string_view name, const void* memory, uint64_t bytes, uint64_t seed,
                  uint64_t offset);

// Each tensor in memory of its own from malloc's family, aligned to 64 as PyTorch's are; every page
// has been written.
class State {
 public:
  enum class Fill { kPayload, kOtherBytes };
  State(std::vector<TensorPlan> tensors, Fill fill);

  // A state dict over the memory.
  StateHandle Dict() const;
  // Dies unless every tensor holds its payload.
  void Check() const;
  uint64_t bytes() const;
  size_t count() const { return tensors_.size(); }

 private:
  std::vector<TensorPlan> tensors_;
  std::vector<std::unique_ptr<char, FreeMemory>> memories_;
};

// `bytes` of such memory, filled with payload `seed`.
std::unique_ptr<char, FreeMemory> Payload(uint64_t bytes, uint64_t seed);

}  // namespace dcp::bench

#endif  // DCP_BENCH_DRIVER_STATE_H_
