#include "reader/item_place.h"
#include "reader/reader.h"
#include "reader/whole_item.h"
#include "value/names.h"

namespace dcp {

Result<std::string> ItemReader::ReadItemBytes(const Entry& entry, uint32_t chunk,
                                              const ReaderOptions& options) {
  DCP_RETURN_IF_ERROR(options.cancel.Check());
  DCP_ASSIGN_OR_RETURN(const ItemPlace place, FindItem(*metadata_, entry, chunk));
  auto opened = OpenFile(place.location().file);
  if (!opened.ok()) return AboutItem(opened.status(), place);
  const std::shared_ptr<ReadableFile> file = *std::move(opened);
  const auto read = [&]() -> Result<std::string> {
    uint64_t limit = options.object_limits.max_size;
    if (entry.kind == EntryKind::kTensor) {
      DCP_ASSIGN_OR_RETURN(limit, DecodedTensorLimit(place));
      // Without transforms nothing can expand: the file's own size bounds it.
      if (place.transforms().empty()) limit = UINT64_MAX;
    } else if (place.length() > limit) {
      return Error(Code::kLimit, "it has {} bytes, more than the {} allowed", place.length(),
                   limit);
    }
    DCP_ASSIGN_OR_RETURN(std::string raw, ReadRawItem(*file, place, options.verify));
    return DecodeItem(std::move(raw), place, limit, options);
  };
  auto bytes = read();
  if (!bytes.ok()) return AboutItem(bytes.status(), place);
  return bytes;
}

Result<ValuePtr> ItemReader::ReadObject(const Entry& entry, const ReaderOptions& options) {
  if (entry.kind != EntryKind::kBytes) {
    return Error(Code::kInvalidArgument, "'{}' is a tensor; read it as one",
                 PrintableName(entry.name));
  }
  DCP_ASSIGN_OR_RETURN(const ItemPlace place, FindItem(*metadata_, entry, 0));
  DCP_ASSIGN_OR_RETURN(const std::string bytes, ReadItemBytes(entry, 0, options));
  auto value = DecodeObjectItem(MemorySource(AsBytes(bytes)), options.object_limits);
  if (!value.ok()) return AboutItem(value.status(), place);
  if (options.progress != nullptr) DCP_RETURN_IF_ERROR(options.progress->Advance(0, 1));
  return value;
}

}  // namespace dcp
