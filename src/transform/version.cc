#include "transform/version.h"

namespace dcp {
namespace {

constexpr size_t kShown = 40;

std::string_view Leading(std::string_view version) { return version.substr(0, version.find('.')); }

}  // namespace

Status CheckTransformVersion(std::string_view name, std::string_view stored,
                             std::string_view ours) {
  if (Leading(stored) == Leading(ours)) return Status::Ok();
  return Error(Code::kUnsupported,
               "stream transform '{}' has version '{}' in the file; this one reads version '{}'",
               name, stored.substr(0, kShown), ours)
      .WithDetail("transform", std::string(name));
}

}  // namespace dcp
