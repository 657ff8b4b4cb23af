#include "tensorio/legacy.h"

#include <algorithm>
#include <string_view>

namespace dcp {
namespace {

// PROTO 2, LONG1 of ten bytes: 0x1950a86a20f9469cfc6c.
constexpr std::string_view kMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

}  // namespace

bool IsLegacyTorchSave(const ByteSource& item) {
  std::byte head[kMagic.size()];
  if (item.size() < sizeof head || !item.ReadAt(0, head).ok()) return false;
  return AsText(head) == kMagic;
}

Status ExplainNotZip(const ByteSource& item, const Status& zip_error) {
  if (!IsLegacyTorchSave(item)) return zip_error;
  return Error(Code::kUnsupported,
               "the item is in torch.save's format from before zips; load it with torch and save "
               "it again");
}

}  // namespace dcp
