// The transform upstream's tests call rot13.
#ifndef DCP_TESTS_SUPPORT_CASE_SWAP_H_
#define DCP_TESTS_SUPPORT_CASE_SWAP_H_

#include <memory>

#include "transform/transform.h"

namespace dcp {

// "stream.rot13/1": swaps the case of every ASCII letter, whatever the bytes mean. Its own inverse.
std::shared_ptr<const Transform> NewCaseSwapTransform();

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_CASE_SWAP_H_
