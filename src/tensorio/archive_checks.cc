#include "tensorio/archive_checks.h"

#include "tensorio/records.h"
#include "value/names.h"

namespace dcp {

Status CheckByteOrder(const zip::Archive& archive) {
  const zip::Record* record = archive.Find(records::kByteOrder);
  if (record == nullptr) return Status::Ok();
  DCP_ASSIGN_OR_RETURN(std::string order, archive.Read(*record, 64));
  if (order == "little") return Status::Ok();
  if (order == "big") {
    return Error(Code::kUnsupported,
                 "the item was written on a big-endian machine; load it with torch there or here "
                 "and save it again");
  }
  return Error(Code::kCorrupt, "the item's byte order is '{}'", PrintableName(order));
}

}  // namespace dcp
