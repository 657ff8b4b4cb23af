// Paths from the root of a nested state dict, as values.
#ifndef DCP_METADATA_PATH_H_
#define DCP_METADATA_PATH_H_

#include "metadata/metadata.h"
#include "value/value.h"

namespace dcp {

// A tuple of strings (mapping keys) and integers (list indices).
ValuePtr PathToValue(const Path& path);
// The inverse; kInvalidArgument for anything else.
Result<Path> PathFromValue(const Value& value);

}  // namespace dcp

#endif  // DCP_METADATA_PATH_H_
