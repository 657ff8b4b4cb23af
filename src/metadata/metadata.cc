#include "metadata/metadata.h"

#include <utility>

namespace dcp {

void Metadata::BuildIndex() {
  index_ = IdTable();
  index_.Reserve(entries.size());
  for (uint32_t i = 0; i < entries.size(); ++i) {
    const std::string& name = entries[i].name;
    index_.FindOrAdd(SeededHash(name), i,
                     [&](uint32_t other) { return entries[other].name == name; });
  }
  indexed_ = entries.size();
}

void Metadata::SetIndex(IdTable index) {
  index_ = std::move(index);
  indexed_ = entries.size();
}

std::optional<size_t> Metadata::Find(std::string_view name) const {
  if (indexed_ == entries.size()) {
    uint32_t id =
        index_.Find(SeededHash(name), [&](uint32_t other) { return entries[other].name == name; });
    if (id == IdTable::kNone) return std::nullopt;
    return id;
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name == name) return i;
  }
  return std::nullopt;
}

}  // namespace dcp
