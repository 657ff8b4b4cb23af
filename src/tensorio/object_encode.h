// Value tree -> pickle, protocol 2.
#ifndef DCP_TENSORIO_OBJECT_ENCODE_H_
#define DCP_TENSORIO_OBJECT_ENCODE_H_

#include <string>
#include <unordered_map>

#include "pickle/writer.h"
#include "tensorio/known_globals.h"
#include "tensorio/storage_table.h"
#include "value/value.h"

namespace dcp {

inline constexpr int kMaxObjectDepth = 1000;  // as deep as Python's own pickler goes

class ObjectEncoder {
 public:
  // Appends to `out`. `storages` was collected from the same tree.
  ObjectEncoder(const StorageTable& storages, std::string* out)
      : storages_(storages), writer_(2, out) {}
  // The whole pickle. kUnsupported for values that have none, kInvalidArgument for malformed ones.
  Status Encode(const Value& root);

 private:
  Status Child(const ValuePtr& value);  // writes it, or refers to it when it was written before
  Status Write(const Value& value);
  Status String(const Value& value);
  Status Items(const std::vector<ValuePtr>& items);  // APPENDS to what is on the stack
  Status Entries(const Value& value);                // SETITEMS
  Status Tuple(const std::vector<ValuePtr>& items);
  Status Collection(std::string_view name, const std::vector<ValuePtr>& items);
  Status OrderedDict(const Value& value);
  Status Constructed(const Value& value);
  Status Tensor(const Value& value);
  void Storage(const Value& value);
  void DenseArguments(const Value& value);  // of _rebuild_tensor_v2 or v3, as a tuple
  void Dims(dcp::Dims sizes);
  Status Numpy(const Value& value);
  void NumpyType(DType dtype);
  void Device(std::string_view name);
  void Global(const KnownGlobal& global);
  void Global(std::string_view full_name) { Global(*FindKnownGlobal(full_name)); }
  void EmptyOrderedDict();

  const StorageTable& storages_;
  pickle::Writer writer_;
  std::unordered_map<const Value*, uint32_t> written_;  // shared values -> memo
  int depth_ = 0;
};

}  // namespace dcp

#endif  // DCP_TENSORIO_OBJECT_ENCODE_H_
