// Which storages an object's tensors are written as: tensors on the same bytes share one.
#ifndef DCP_TENSORIO_STORAGE_TABLE_H_
#define DCP_TENSORIO_STORAGE_TABLE_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "value/value.h"

namespace dcp {

class StorageTable {
 public:
  // Takes note of every tensor below `root`. kUnsupported for tensors that are not in the CPU's
  // memory or of a type without a storage; kLimit for trees deeper than `max_depth`.
  static Result<StorageTable> Collect(const Value& root, int max_depth);

  struct Place {
    uint32_t storage;  // its key is data/<storage>
    int64_t offset;    // in elements of the tensor's type
  };
  const Place& Find(const Value* tensor) const { return places_.at(tensor); }
  // The bytes of each storage, from the first to the last that a tensor on it touches. Borrowed
  // from the tensors.
  const std::vector<Bytes>& storages() const { return storages_; }

 private:
  Status Add(const Value* value);
  void Arrange();

  std::vector<const Value*> tensors_;  // in order of appearance
  std::unordered_map<const Value*, Place> places_;
  std::vector<Bytes> storages_;
};

// Bytes from the first element to one past the last.
uint64_t TouchedBytes(const Tensor& tensor);

}  // namespace dcp

#endif  // DCP_TENSORIO_STORAGE_TABLE_H_
