// Where the storages that a pickle refers to come from.
#ifndef DCP_TENSORIO_STORAGE_SOURCE_H_
#define DCP_TENSORIO_STORAGE_SOURCE_H_

#include <string>
#include <unordered_map>

#include "base/byte_source.h"
#include "tensorio/tensor_graph.h"
#include "value/tensor.h"
#include "zip/archive.h"

namespace dcp {

class StorageSource {
 public:
  virtual ~StorageSource() = default;
  // All bytes of the storage as a one-dimensional uint8 tensor that owns them; the same bytes each
  // time. kCorrupt when there is no such storage or it has another size.
  virtual Result<Tensor> Load(const StorageReference& storage) = 0;
};

// The record data/<key> of a torch.save zip. kCorrupt when there is none or it has another size.
Result<const zip::Record*> FindStorage(const zip::Archive& archive,
                                       const StorageReference& storage);

// Records data/<key> of a torch.save zip, checked against their CRCs.
class ZipStorages final : public StorageSource {
 public:
  // `archive` must outlive this. At most `max_size` bytes are loaded in all (kLimit).
  ZipStorages(const zip::Archive* archive, uint64_t max_size)
      : archive_(archive), left_(max_size) {}
  Result<Tensor> Load(const StorageReference& storage) override;
  bool Loaded(const zip::Record& record) const;
  bool all_checked() const { return all_checked_; }  // false once a record had no CRC

 private:
  const zip::Archive* archive_;
  uint64_t left_;
  bool all_checked_ = true;
  std::unordered_map<const zip::Record*, Tensor> loaded_;
};

// For pickles that may hold no tensors.
class NoStorages final : public StorageSource {
 public:
  Result<Tensor> Load(const StorageReference& storage) override;
};

}  // namespace dcp

#endif  // DCP_TENSORIO_STORAGE_SOURCE_H_
