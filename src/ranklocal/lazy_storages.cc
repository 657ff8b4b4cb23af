#include "ranklocal/lazy_storages.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace dcp {

Result<Tensor> LazyStorages::Load(const StorageReference& storage) {
  DCP_ASSIGN_OR_RETURN(const zip::Record* const record, FindStorage(*archive_, storage));
  if (const auto known = begins_.find(record); known != begins_.end()) {
    return regions_.at(known->second).tensor;
  }
  const auto size = static_cast<size_t>(std::max<uint64_t>(record->size, 1));
  void* at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  const std::shared_ptr<const void> owner(at, [size](void* begin) { munmap(begin, size); });
  const int64_t shape[] = {static_cast<int64_t>(record->size)};
  DCP_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Borrow(DType::kUInt8, shape, {}, at, owner));
  const auto* begin = static_cast<const std::byte*>(at);
  begins_.emplace(record, begin);
  regions_.emplace(begin, Region{record, tensor});
  return tensor;
}

std::optional<LazyStorages::Place> LazyStorages::Find(const std::byte* address) const {
  auto region = regions_.upper_bound(address);
  if (region == regions_.begin()) return std::nullopt;
  --region;
  const auto offset = static_cast<uint64_t>(address - region->first);
  if (offset >= region->second.record->size) return std::nullopt;
  return Place{region->second.record, offset};
}

}  // namespace dcp
