// Writes one rank's items into data files: packed, checksummed, batched, in as few passes as the
// bytes allow. Knows nothing of plans across ranks and of the commit.
#ifndef DCP_WRITER_WRITER_H_
#define DCP_WRITER_WRITER_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/device.h"
#include "base/progress.h"
#include "storage/store.h"
#include "transform/transform.h"
#include "value/value.h"

namespace dcp {

struct WriteJob {
  std::string_view name;           // for messages
  const Tensor* tensor = nullptr;  // exactly one of the two; neither: WriterOptions::resolve's
  const Value* object = nullptr;
  int64_t global_bytes = 0;  // of the whole tensor: what upstream balances files by
  // Of jobs to resolve: which of the two it will be, and the payload's bytes as far as known.
  bool late_tensor = false;
  uint64_t late_bytes = 0;

  bool late() const { return tensor == nullptr && object == nullptr; }
  bool holds_tensor() const { return tensor != nullptr || (late() && late_tensor); }
  int64_t payload_bytes() const {
    return tensor != nullptr ? tensor->num_bytes() : static_cast<int64_t>(late_bytes);
  }
};

struct WriterOptions {
  int32_t files = 1;           // buckets, as upstream's thread_count: all are created, even empty
  bool file_per_item = false;  // upstream's single_file_per_rank=False; `files` then only threads
  bool durable = true;
  bool direct = true;  // past the page cache where the store can
  bool block_checksums = true;
  // Payloads of at least `align_from` bytes start at a multiple of 4096 in the file, so that they
  // can be mapped and read with O_DIRECT. Items below are packed without gaps.
  uint64_t align_from = 1 << 20;
  std::vector<std::shared_ptr<const Transform>> transforms;
  std::shared_ptr<BufferPool> pool;  // must
  DeviceCopier* copier = nullptr;    // may: for tensors that are not on the CPU
  Progress* progress = nullptr;      // may: advanced by payload bytes and items
  CancelToken cancel;
  std::function<std::string(size_t)> file_name;  // of data file n: "__0_3.distcp"
  // What a job holds that names neither tensor nor object, asked for when its turn comes and let go
  // when it is written. Any thread. A tensor exactly for late_tensor.
  std::function<Result<ValuePtr>(size_t)> resolve;
};

struct WrittenItem {
  uint32_t file = 0;  // index into WriteOutcome::files
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t crc32 = 0;  // of those bytes in the file
};

struct WriteOutcome {
  std::vector<std::string> files;
  std::vector<WrittenItem> items;  // one a job, in job order
  uint64_t bytes = 0;              // in all files
};

// Order inside a file, as upstream: objects first, then tensors; with several files objects go
// round robin and tensors, largest first, to the least loaded. On failure the files created so
// far are closed and removed before it returns. Data and sizes are durable on return when asked;
// names are not (Store::SyncFolder is the committer's).
Result<WriteOutcome> WriteItems(Store& store, std::span<const WriteJob> jobs,
                                const WriterOptions& options);

}  // namespace dcp

#endif  // DCP_WRITER_WRITER_H_
