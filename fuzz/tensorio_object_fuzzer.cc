// Decodes the input as an object's item, and as the pickle inside one; what was understood must
// survive being written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tensorio/object_item.h"
#include "wrap_pickle.h"

namespace {

void Decode(dcp::Bytes bytes) {
  dcp::ObjectLimits limits;
  limits.max_size = 1 << 22;
  limits.max_values = 1 << 14;
  dcp::MemorySource source(bytes);
  dcp::Result<dcp::ValuePtr> value = dcp::DecodeObjectItem(source, limits);
  if (!value.ok()) {
    if (value.status().message().empty()) std::abort();
    return;
  }
  if (*value == nullptr) std::abort();
  (void)dcp::ToString(**value);
  dcp::Result<std::string> item = dcp::EncodeObjectItem(**value);
  if (!item.ok() || (*value)->kind == dcp::ValueKind::kOpaque) return;
  dcp::MemorySource again_source(dcp::AsBytes(*item));
  dcp::Result<dcp::ValuePtr> again = dcp::DecodeObjectItem(again_source, dcp::ObjectLimits());
  if (!again.ok() || !dcp::Equal(**value, **again)) {
    std::fprintf(stderr, "%s\nbecame\n%s\n", dcp::ToString(**value).c_str(),
                 again.ok() ? dcp::ToString(**again).c_str() : again.status().ToString().c_str());
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Decode(dcp::AsBytes(data, size));
  Decode(dcp::AsBytes(dcp::WrapPickle(data, size)));
  return 0;
}
