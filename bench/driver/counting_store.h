// A read-only store of the caller's kind over a local folder that counts what is asked of it.
#ifndef DCP_BENCH_DRIVER_COUNTING_STORE_H_
#define DCP_BENCH_DRIVER_COUNTING_STORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "cli/handles.h"

namespace dcp::bench {

struct ReadCounts {
  std::atomic<uint64_t> metadata_bytes = 0;  // of `.metadata`
  std::atomic<uint64_t> data_bytes = 0;      // of every other file
  std::atomic<uint64_t> data_reads = 0;
};

// Dies when the handle cannot be made. Saving through it is refused.
cli::StorageHandle NewCountingStore(const std::string& folder, std::shared_ptr<ReadCounts> counts);

}  // namespace dcp::bench

#endif  // DCP_BENCH_DRIVER_COUNTING_STORE_H_
