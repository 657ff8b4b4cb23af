#include "reader/skeleton.h"

#include <algorithm>
#include <vector>

#include "zip/layout.h"

namespace dcp {

Status CheckSkeleton(const ByteSource& item, const zip::Archive& archive) {
  std::vector<const zip::Record*> records;
  for (const zip::Record& record : archive.records()) {
    if (record.method != 0 || !record.has_crc()) return Status::Ok();
    records.push_back(&record);
  }
  std::sort(records.begin(), records.end(), [](const zip::Record* a, const zip::Record* b) {
    return a->data_offset < b->data_offset;
  });
  // All that lies between the data of one record and that of the next, as torch writes it.
  struct Part {
    uint64_t begin;
    std::string bytes;
  };
  std::vector<Part> parts{{0, {}}};
  zip::LayoutWriter layout{""};
  for (const zip::Record* record : records) {
    layout.BeginRecord(record->name, record->size, &parts.back().bytes);
    if (parts.back().begin + parts.back().bytes.size() != record->data_offset) return Status::Ok();
    parts.push_back({record->data_offset + record->size, {}});
    layout.EndRecord(record->crc32, &parts.back().bytes);
  }
  layout.Finish(&parts.back().bytes);
  if (parts.back().begin + parts.back().bytes.size() != item.size()) return Status::Ok();

  std::string found;
  for (const Part& part : parts) {
    found.resize(part.bytes.size());
    DCP_RETURN_IF_ERROR(
        item.ReadAt(part.begin, {reinterpret_cast<std::byte*>(found.data()), found.size()}));
    if (found == part.bytes) continue;
    const auto differs = std::mismatch(found.begin(), found.end(), part.bytes.begin()).first;
    return Error(
        Code::kCorrupt,
        "byte {} of the item, in its zip headers, is not what torch writes there; the data "
        "is as its checksums say",
        part.begin + static_cast<uint64_t>(differs - found.begin()));
  }
  return Status::Ok();
}

}  // namespace dcp
