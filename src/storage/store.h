// The only door to where checkpoints live. A store is rooted at one checkpoint folder; paths are
// relative, '/'-separated, and are refused (kInvalidArgument) when empty, absolute, longer than
// 4095 bytes (a name: 255), holding NUL or a component that is empty, "." or "..". The memory store
// (storage/memory/) is the example to read before writing a backend; tests/conformance/store_suite
// is what a backend must pass.
#ifndef DCP_STORAGE_STORE_H_
#define DCP_STORAGE_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_sink.h"
#include "base/byte_source.h"
#include "base/cancel.h"
#include "base/status.h"

namespace dcp {

// A file being written. One thread at a time. Destroying it unfinished closes it and leaves what
// was written (the caller removes the file).
class WritableFile {
 public:
  virtual ~WritableFile() = default;

  // Offsets and sizes given to Start, and the addresses of its data, must be multiples of this;
  // 1 when anything goes. Finish cuts the padding of the last block off.
  virtual size_t alignment() const { return 1; }
  // How many writes may be in flight to good effect; 1 when Start blocks.
  virtual size_t depth() const { return 1; }

  // Begins to write `data` at `offset`; `data` must stay unchanged until Wait has returned
  // `token`. Ranges of one file never overlap. At most depth() are in flight.
  virtual Status Start(uint64_t offset, Bytes data, uint64_t token) = 0;
  // Waits until any one write is done and returns its token; its failure is the error. Only legal
  // with writes in flight. After an error the file can only be destroyed, which waits for the rest.
  virtual Result<uint64_t> Wait() = 0;
  // After all writes were waited for: sets the file's size, makes data and size durable when
  // `durable`, closes. The name is durable only after Store::SyncFolder.
  virtual Status Finish(uint64_t size, bool durable) = 0;
};

// Reads in flight on one file, by one thread.
class ReadQueue {
 public:
  virtual ~ReadQueue() = default;
  virtual size_t alignment() const { return 1; }  // of offset, size and address
  virtual size_t depth() const { return 1; }
  // Begins to fill `out` from `offset`. Past the end of the file fewer bytes come (see Wait).
  virtual Status Start(uint64_t offset, MutableBytes out, uint64_t token) = 0;
  struct Done {
    uint64_t token;
    size_t size;  // bytes read: less than asked only at the end of the file
  };
  virtual Result<Done> Wait() = 0;
};

// Which file of this host it is, in which state: equal for all of its processes.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  uint64_t changed_ns = 0;
};

// A file open for reading; what it shows may not change when the name is renamed over. Any thread.
class ReadableFile : public ByteSource {
 public:
  // ReadAt (from ByteSource) reads wholly or fails; past the end is kCorrupt naming the file.
  virtual std::string_view name() const = 0;
  // `cold`: past the page cache where the store can and where that is faster for large reads.
  virtual Result<std::unique_ptr<ReadQueue>> NewQueue(bool cold) const = 0;
  // True when, as far as a few samples tell, [offset, offset + size) lies in memory already, so
  // that a cold queue would only be slower.
  virtual bool Cached(uint64_t /*offset*/, uint64_t /*size*/) const { return false; }
  // Nothing where processes cannot tell whether they have the same file open.
  virtual std::optional<FileIdentity> identity() const { return std::nullopt; }
  // A private read-only mapping of [offset, offset + size), kept alive by the returned owner.
  // kUnsupported where the store has no memory to map. Documented as invalid when another
  // program truncates the file.
  struct Mapping {
    Bytes bytes;
    std::shared_ptr<const void> owner;
  };
  virtual Result<Mapping> Map(uint64_t offset, uint64_t size) const;
};

struct CreateOptions {
  uint64_t expected_size = 0;  // 0: unknown. A hint for allocation
  bool durable = true;         // will be finished so
  bool direct = true;          // past the page cache where the store can (O_DIRECT)
};

class Store {
 public:
  virtual ~Store() = default;

  // For messages: the folder's path or the URL.
  virtual std::string_view location() const = 0;

  // Makes the root folder and its parents if missing; durable.
  virtual Status MakeRoot() = 0;
  // Creates or truncates. Folders inside `path` must not be assumed: names here have none, but a
  // path with '/' makes its folders. Any thread.
  virtual Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                                       const CreateOptions& options) = 0;
  // kNotFound when missing; kInvalidArgument for what is not a regular file (folders, FIFOs,
  // devices; symbolic links unless the store was told to allow them, then only to regular files).
  virtual Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const = 0;
  // Atomic: readers see the old file or the new one. Any thread.
  virtual Status Rename(std::string_view from, std::string_view to) = 0;
  virtual Status Remove(std::string_view path) = 0;  // kNotFound when missing
  // Names of the regular files in the root, in no order. A missing root is kNotFound.
  virtual Result<std::vector<std::string>> List() const = 0;
  // Makes creations, renames and removals so far durable.
  virtual Status SyncFolder() = 0;
};

// kInvalidArgument (naming the path) unless it is a legal relative path as said above.
Status CheckRelativePath(std::string_view path);

// Default ReadQueue over ReadAt, for stores without a better one. `file` must outlive it.
std::unique_ptr<ReadQueue> NewSimpleReadQueue(const ReadableFile* file);

// Writes all of `data` as a new file: Create, Start, Wait, Finish.
Status WriteWholeFile(Store& store, std::string_view path, Bytes data, bool durable);
// The same for bytes that come in pieces; each is written before the next is asked for. The error
// is the store's or the producer's.
Status WriteInPieces(Store& store, std::string_view path, const ByteProducer& produce,
                     bool durable);
// kLimit when the file is larger than `max_size`.
Result<std::string> ReadWholeFile(const Store& store, std::string_view path, uint64_t max_size);

}  // namespace dcp

#endif  // DCP_STORAGE_STORE_H_
