// Reads boxes of stored chunks into memory: sorted, merged, parallel, checked.
#ifndef DCP_READER_READER_H_
#define DCP_READER_READER_H_

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/buffer_pool.h"
#include "base/device.h"
#include "base/progress.h"
#include "metadata/metadata.h"
#include "reader/shared_pieces.h"
#include "storage/store.h"
#include "tensorio/object_item.h"
#include "tensorio/tensor_item.h"
#include "transform/transform.h"

namespace dcp {

struct ReaderOptions {
  int32_t threads = 0;                            // 0: as many as serve
  bool verify = true;                             // check every checksum there is over what is read
  bool cold = true;                               // large reads may go past the page cache
  std::shared_ptr<BufferPool> pool;               // must
  const TransformRegistry* transforms = nullptr;  // must
  DeviceCopier* copier = nullptr;
  Progress* progress = nullptr;
  SharedPieces* shared = nullptr;  // with other ranks of this host
  CancelToken cancel;
  ObjectLimits object_limits;
};

// One box to read. All spans are borrowed until the call returns.
struct TensorRead {
  const Entry* entry = nullptr;  // of `metadata`
  uint32_t chunk = 0;
  Dims storage_offsets;  // inside the chunk
  Dims lengths;
  Tensor dest;  // shape == lengths, any strides; another dtype is cast as torch's copy_ does
};

struct ReadOutcome {
  uint64_t bytes_read = 0;        // from the store
  uint64_t bytes_unverified = 0;  // of tensor data delivered without a checksum having been checked
};

// The data files of one open checkpoint; keeps files open and item headers that were parsed. Any
// thread. `store` and `metadata` must outlive it. A file that has vanished is kReplaced.
class ItemReader {
 public:
  ItemReader(const Store* store, const Metadata* metadata) : store_(store), metadata_(metadata) {}

  // Errors name file, tensor, chunk and the offset of the item or block. After an error the
  // destinations may be partly filled. A read of a whole chunk checks the CRC of its record; part
  // of a chunk checks block checksums where the item has them, else counts as unverified. Only
  // the rows (and checksum blocks) that a box touches are read.
  Result<ReadOutcome> ReadTensors(std::span<const TensorRead> reads, const ReaderOptions& options);

  // An object of a bytes entry, or the item's raw bytes (after transforms).
  Result<ValuePtr> ReadObject(const Entry& entry, const ReaderOptions& options);
  Result<std::string> ReadItemBytes(const Entry& entry, uint32_t chunk,
                                    const ReaderOptions& options);

  // What the item's own header says of the stored tensor (form, dtype, strides, checksums).
  Result<StoredTensor> Inspect(const Entry& entry, uint32_t chunk, const ReaderOptions& options);

  // A view on the mapped file, not verified. kUnsupported (saying why) unless the chunk is dense,
  // stored, without transforms, little-endian, neither conj nor neg, and aligned for its dtype.
  Result<Tensor> MapChunk(const Entry& entry, uint32_t chunk, const ReaderOptions& options);

  // Reads one whole item and checks every CRC in it. *has_checksums is false when there was
  // nothing to check. For verify; any entry kind, and any form of tensor. `item`: its bytes, when
  // they were read already; then no buffer of the pool is asked for. `payload_checked`: the CRC of
  // a dense tensor's record was found right before.
  Status VerifyItem(const Entry& entry, uint32_t chunk, const ReaderOptions& options,
                    bool* has_checksums, Bytes item = {}, bool payload_checked = false);
  // The rest, for an item that is known to have the CRC that the metadata gives: whether it is what
  // the metadata describes. `item`: its bytes.
  Status VerifyHeader(const Entry& entry, uint32_t chunk, const ByteSource& item);

  Result<std::shared_ptr<ReadableFile>> OpenFile(uint32_t file);  // index in metadata's files

 private:
  const Store* store_;
  const Metadata* metadata_;
  std::mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<ReadableFile>> files_;
};

}  // namespace dcp

#endif  // DCP_READER_READER_H_
