// `storage_meta`: where and by whom the checkpoint was saved.
#ifndef DCP_METADATA_DECODE_STORAGE_META_H_
#define DCP_METADATA_DECODE_STORAGE_META_H_

#include <optional>

#include "metadata/decode_part.h"

namespace dcp {

class StorageMetaDecoder : DecodePart {
 public:
  explicit StorageMetaDecoder(DecodeState* state) : DecodePart(state) {}

  Status Read(pickle::NodeId node);

 private:
  Result<std::optional<std::string>> PathText(pickle::NodeId node);
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_STORAGE_META_H_
