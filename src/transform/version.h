// Versions of transforms: the leading component says whether a decoder fits.
#ifndef DCP_TRANSFORM_VERSION_H_
#define DCP_TRANSFORM_VERSION_H_

#include <string_view>

#include "base/status.h"

namespace dcp {

// kUnsupported, naming both, unless `stored` and `ours` agree up to their first '.'. Upstream
// checks the same way.
Status CheckTransformVersion(std::string_view name, std::string_view stored, std::string_view ours);

}  // namespace dcp

#endif  // DCP_TRANSFORM_VERSION_H_
