// Lists of transform descriptors as keys of an IdTable.
#ifndef DCP_METADATA_TRANSFORM_SET_H_
#define DCP_METADATA_TRANSFORM_SET_H_

#include <string>
#include <vector>

#include "metadata/id_table.h"

namespace dcp {

inline uint64_t HashTransformSet(const std::vector<std::string>& set) {
  uint64_t hash = set.size();
  for (const std::string& descriptor : set) hash = SeededHash(descriptor, hash);
  return hash;
}

}  // namespace dcp

#endif  // DCP_METADATA_TRANSFORM_SET_H_
