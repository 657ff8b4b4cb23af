// What every stream transform must do, as one set of tests.
#ifndef DCP_TESTS_CONFORMANCE_TRANSFORM_SUITE_H_
#define DCP_TESTS_CONFORMANCE_TRANSFORM_SUITE_H_

#include <memory>
#include <string>

#include "transform/transform.h"

namespace dcp {

struct TransformSuite {
  std::string name;
  std::shared_ptr<const Transform> transform;
  // Whether a decoder can tell that its input was cut short (compressors and ciphers can).
  bool notices_truncation = true;
};

// The number of failed tests, for main to return.
int RunTransformSuite(TransformSuite& suite);

}  // namespace dcp

#endif  // DCP_TESTS_CONFORMANCE_TRANSFORM_SUITE_H_
