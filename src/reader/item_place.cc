#include "reader/item_place.h"

#include "value/names.h"

namespace dcp {

Result<ItemPlace> FindItem(const Metadata& metadata, const Entry& entry, uint32_t chunk) {
  if (chunk >= entry.chunk_count()) {
    return Error(Code::kInvalidArgument, "'{}' has {} chunks; there is no chunk {}",
                 PrintableName(entry.name), entry.chunk_count(), chunk);
  }
  const Location& location = entry.locations[chunk];
  if (location.missing() || location.file >= metadata.files.size() ||
      location.transforms >= metadata.transform_sets.size()) {
    return Error(Code::kCorrupt,
                 "the metadata does not say where chunk {} of '{}' is stored; it cannot be read",
                 chunk, PrintableName(entry.name))
        .WithDetail("tensor", entry.name);
  }
  return ItemPlace{&metadata, &entry, chunk};
}

Status CheckInsideFile(const ItemPlace& place, uint64_t file_size) {
  if (place.offset() <= file_size && place.length() <= file_size - place.offset()) {
    return Status::Ok();
  }
  return Error(Code::kCorrupt,
               "it should have {} bytes there, but the file has only {}: it was cut short, or the "
               "metadata is of another file",
               place.length(), file_size);
}

Status AboutItem(const Status& status, const ItemPlace& place) {
  if (status.ok()) return status;
  const bool tensor = place.entry->kind == EntryKind::kTensor;
  const std::string file(place.file_name());
  const std::string part =
      place.entry->chunk_count() > 1
          ? fmt::format(", chunk {} of {}", place.chunk, place.entry->chunk_count())
          : std::string();
  return status
      .WithContext(fmt::format("{} '{}'{} in '{}' at offset {}", tensor ? "tensor" : "object",
                               PrintableName(place.entry->name), part, file, place.offset()))
      .WithDetail(tensor ? "tensor" : "object", place.entry->name)
      .WithDetail("chunk", fmt::format("{}", place.chunk))
      .WithDetail("file", file)
      .WithDetail("offset", fmt::format("{}", place.offset()));
}

}  // namespace dcp
