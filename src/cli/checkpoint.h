// An open checkpoint as the commands see it.
#ifndef DCP_CLI_CHECKPOINT_H_
#define DCP_CLI_CHECKPOINT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/handles.h"
#include "cli/json.h"
#include "cli/session.h"

namespace dcp::cli {

// Views are borrowed from the checkpoint.
struct Entry {
  size_t index = 0;
  bool is_tensor = false;
  std::string_view name;
  std::string_view dtype_name;  // empty for objects
  int32_t dtype = 0;            // 0: not known to the library
  std::span<const int64_t> shape;
  uint64_t bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t chunk_count = 0;
};

struct Chunk {
  std::span<const int64_t> offsets;
  std::span<const int64_t> sizes;
  const char* file = nullptr;  // null: not recorded
  uint64_t offset = 0;
  uint64_t length = 0;
  std::string_view transforms;
};

class Checkpoint {
 public:
  // Every read checks what checksums there are, and stops when the session is cancelled.
  static Failure Open(Session& session, const std::string& where, Checkpoint* out);

  dcp_checkpoint* get() const { return handle_.get(); }
  const std::string& where() const { return where_; }
  size_t count() const { return dcp_checkpoint_count(handle_.get()); }

  Failure ReadEntry(size_t index, Entry* out) const;
  Failure ReadEntries(std::vector<Entry>* out) const;
  Failure ReadChunk(size_t index, uint64_t chunk, Chunk* out) const;
  // By name as it stands, else by name as Escape() prints it.
  Failure Find(std::string_view name, Entry* out) const;
  // Elements offsets[d] + i * steps[d], row-major and as `dtype`, into `data`. `steps` may be
  // empty. Adds to *unverified the bytes that had no checksum.
  Failure Read(const Entry& entry, std::span<const int64_t> offsets, std::span<const int64_t> steps,
               std::span<const int64_t> sizes, int32_t dtype, void* data,
               uint64_t* unverified) const;

 private:
  std::string where_;
  StorageHandle storage_;
  CheckpointHandle handle_;
};

// Product of the sizes; 0 when one is 0. The library has checked that it fits.
uint64_t ElementCount(std::span<const int64_t> sizes);

// {"name", "kind", "dtype", "shape", "bytes", "stored_bytes", "shards"}
Json EntryJson(const Entry& entry);
// "float32", "object"
std::string_view KindText(const Entry& entry);

}  // namespace dcp::cli

#endif  // DCP_CLI_CHECKPOINT_H_
