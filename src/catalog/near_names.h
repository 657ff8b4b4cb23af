// Names that somebody who typed a wrong one may have meant.
#ifndef DCP_CATALOG_NEAR_NAMES_H_
#define DCP_CATALOG_NEAR_NAMES_H_

#include <string>
#include <string_view>
#include <vector>

#include "metadata/metadata.h"

namespace dcp {

// At most `limit` names: those below `name` as a prefix ("model" -> "model.weight"), then those a
// few edits away, nearest first. The work is bounded whatever the metadata holds.
std::vector<std::string_view> NearNames(const Metadata& metadata, std::string_view name,
                                        size_t limit);

}  // namespace dcp

#endif  // DCP_CATALOG_NEAR_NAMES_H_
