// A checkpoint open for reading: list, read, slice, map, verify.
#ifndef DCP_CATALOG_CHECKPOINT_H_
#define DCP_CATALOG_CHECKPOINT_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "metadata/metadata.h"
#include "reader/reader.h"
#include "staging/engine.h"
#include "storage/store.h"
#include "value/value.h"

namespace dcp {

struct OpenOptions {
  bool verify = true;
  CancelToken cancel;
};

struct Damage {
  std::string name;  // tensor or object; empty for a file as a whole
  std::string file;
  uint64_t offset = 0;  // of the item in the file
  Status status;
};

struct VerifySummary {
  uint64_t items_checked = 0;
  uint64_t items_without_checksum = 0;
  uint64_t bytes_checked = 0;
  std::vector<Damage> damage;
  std::vector<Damage> unreadable;  // items behind a transform that is not known here: not checked
  std::vector<std::string> notes;  // stale or unknown files, strays in the metadata
};

// Any thread. Reads `.metadata` (or every `__N.metadata` of a save without collectives) once.
class Checkpoint {
 public:
  // kNotFound when nothing is committed there. On a file that vanished because the checkpoint was
  // saved over, reads give kReplaced ("replaced while open").
  static Result<std::shared_ptr<Checkpoint>> Open(std::shared_ptr<Store> store,
                                                  const OpenOptions& options,
                                                  std::shared_ptr<const Engine> engine);

  const Metadata& metadata() const { return metadata_; }
  const Store& store() const { return *store_; }

  Result<const Entry*> FindEntry(std::string_view name) const;  // kNotFound, with near names

  // Whole tensor into fresh memory, assembled from its chunks. kMismatch for a bytes entry.
  Result<Tensor> ReadTensor(const Entry& entry, uint64_t* unverified_bytes = nullptr);
  // The box [offsets, offsets + dest.shape) with `steps` (>= 1) between elements a dimension, into
  // `dest` (its dtype may differ: cast). Every element must be covered by chunks: kCorrupt else.
  Status ReadBox(const Entry& entry, Dims offsets, Dims steps, const Tensor& dest,
                 uint64_t* unverified_bytes = nullptr);
  Result<ValuePtr> ReadObject(const Entry& entry);
  Result<std::string> ReadItemBytes(const Entry& entry, uint32_t chunk);
  Result<StoredTensor> Inspect(const Entry& entry, uint32_t chunk);
  Result<Tensor> MapChunk(const Entry& entry, uint32_t chunk);

  // Reads the whole item and checks every checksum it has.
  Status VerifyChunk(const Entry& entry, uint32_t chunk);

  // Every entry's values by name, nested by planner data: objects and tensors, read now. One that
  // cannot be read fails it all, by name.
  Result<ValuePtr> ReadAll(bool nested);

  // Reads everything, checks every checksum, goes on after damage. Also: files that metadata
  // names but are missing, items that reach past their file, overlapping items, tensors with
  // holes. `on_damage` (may be empty) is called as damage is found, one call at a time; the
  // summary has the damage in order of file and offset. Fails only when it cannot go on:
  // cancelled, out of memory, replaced while open.
  Result<VerifySummary> Verify(const std::function<void(const Damage&)>& on_damage,
                               CancelToken cancel);

 private:
  Checkpoint() = default;
  ReaderOptions MakeReaderOptions() const;
  Status Explain(const Status& error) const;
  Status CheckTensor(const Entry& entry) const;
  Status CheckItem(const Entry& entry, uint32_t chunk) const;
  Status CheckAllocation(const Entry& entry) const;

  std::shared_ptr<Store> store_;
  std::shared_ptr<const Engine> engine_;
  OpenOptions options_;
  Metadata metadata_;
  std::string fingerprint_;  // of the metadata's bytes
  std::unique_ptr<ItemReader> reader_;
};

}  // namespace dcp

#endif  // DCP_CATALOG_CHECKPOINT_H_
