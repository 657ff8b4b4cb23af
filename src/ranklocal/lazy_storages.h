// Storages whose bytes are not read yet: tensors on them have addresses of their own, at which
// zeros lie, and which tell where in the file their bytes are.
#ifndef DCP_RANKLOCAL_LAZY_STORAGES_H_
#define DCP_RANKLOCAL_LAZY_STORAGES_H_

#include <cstdint>
#include <map>
#include <memory>

#include "tensorio/storage_source.h"
#include "value/tensor.h"
#include "zip/archive.h"

namespace dcp {

class LazyStorages final : public StorageSource {
 public:
  explicit LazyStorages(const zip::Archive* archive) : archive_(archive) {}

  // Takes address space and no memory.
  Result<Tensor> Load(const StorageReference& storage) override;

  struct Place {
    const zip::Record* record;
    uint64_t offset;  // of the address in the record
  };
  // Where what would lie at `address` is; nothing for other memory.
  std::optional<Place> Find(const std::byte* address) const;

 private:
  struct Region {
    const zip::Record* record;
    Tensor tensor;
  };
  const zip::Archive* archive_;
  std::map<const std::byte*, Region> regions_;  // by where they begin
  std::unordered_map<const zip::Record*, const std::byte*> begins_;
};

}  // namespace dcp

#endif  // DCP_RANKLOCAL_LAZY_STORAGES_H_
