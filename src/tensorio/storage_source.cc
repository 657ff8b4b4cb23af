#include "tensorio/storage_source.h"

#include "tensorio/records.h"
#include "value/names.h"

namespace dcp {
namespace {

// Inflated bytes arrive in a string that grows with them, so that a false claim costs nothing.
Result<Tensor> ReadDeflated(const zip::Archive& archive, const zip::Record& record, bool* checked) {
  DCP_ASSIGN_OR_RETURN(std::string bytes, archive.Read(record, record.size, checked));
  auto owner = std::make_shared<std::string>(std::move(bytes));
  const int64_t shape[] = {static_cast<int64_t>(owner->size())};
  return Tensor::Borrow(DType::kUInt8, shape, {}, owner->data(), owner);
}

Result<Tensor> ReadStored(const zip::Archive& archive, const zip::Record& record, bool* checked) {
  const int64_t shape[] = {static_cast<int64_t>(record.size)};
  DCP_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(DType::kUInt8, shape));
  DCP_RETURN_IF_ERROR(archive.ReadInto(record, {tensor.data, record.size}, checked));
  return tensor;
}

}  // namespace

Result<const zip::Record*> FindStorage(const zip::Archive& archive,
                                       const StorageReference& storage) {
  std::string name(records::kStorage);
  name += storage.key;
  const zip::Record* record = archive.Find(name);
  if (record == nullptr) {
    return Error(Code::kCorrupt, "there is no record for storage '{}'", PrintableName(storage.key));
  }
  if (record->size != storage.bytes) {
    return Error(Code::kCorrupt, "storage '{}' should have {} bytes, its record has {}",
                 PrintableName(storage.key), storage.bytes, record->size);
  }
  return record;
}

Result<Tensor> ZipStorages::Load(const StorageReference& storage) {
  DCP_ASSIGN_OR_RETURN(const zip::Record* const record, FindStorage(*archive_, storage));
  if (auto found = loaded_.find(record); found != loaded_.end()) return found->second;
  if (record->size > left_) {
    return Error(Code::kLimit, "the object's storages have more bytes than allowed");
  }
  left_ -= record->size;
  bool checked = false;
  DCP_ASSIGN_OR_RETURN(Tensor tensor, record->method == 0
                                          ? ReadStored(*archive_, *record, &checked)
                                          : ReadDeflated(*archive_, *record, &checked));
  all_checked_ = all_checked_ && checked;
  loaded_.emplace(record, tensor);
  return tensor;
}

bool ZipStorages::Loaded(const zip::Record& record) const { return loaded_.contains(&record); }

Result<Tensor> NoStorages::Load(const StorageReference& storage) {
  return Error(Code::kCorrupt, "a pickle without storages refers to storage '{}'",
               PrintableName(storage.key));
}

}  // namespace dcp
