#ifndef DCP_C_API_CHECKPOINT_H_
#define DCP_C_API_CHECKPOINT_H_

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "c_api/handle.h"
#include "catalog/checkpoint.h"

struct dcp_checkpoint : dcp::c_api::Handle {
  std::shared_ptr<dcp::Checkpoint> checkpoint;
  std::shared_ptr<const dcp::Engine> engine;
  std::vector<std::string> transform_texts;  // by transform set: descriptors, comma separated

  // The saved path of a flat name, or null. Any thread; the index is built on first use.
  const dcp::Path* FindPath(std::string_view name) const;

 private:
  mutable std::once_flag indexed_;
  mutable std::unordered_map<std::string_view, const dcp::Path*> paths_;
};

namespace dcp::c_api {

// The entry at `index`; kInvalidArgument when out of range.
Result<const Entry*> EntryAt(const dcp_checkpoint* checkpoint, size_t index);

}  // namespace dcp::c_api

#endif  // DCP_C_API_CHECKPOINT_H_
