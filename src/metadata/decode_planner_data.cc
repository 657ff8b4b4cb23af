#include "metadata/decode_planner_data.h"

#include "base/large_pages.h"
#include "metadata/objects.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::NodeId;
using pickle::NodeKind;

}  // namespace

Status PlannerDataDecoder::Read(NodeId node) {
  if (IsNone(graph_, node)) return Status::Ok();
  MappingView mapping = ViewMapping(graph_, node);
  if (!mapping.valid) {
    Note("planner_data is {}, which is not used", Describe(graph_, node));
    return Status::Ok();
  }
  auto& data = out_.planner_data.emplace();
  data.reserve(mapping.pairs.size() / 2);
  PreferLargePages(data.data(), data.capacity() * sizeof data[0]);
  for (size_t i = 0; i + 1 < mapping.pairs.size(); i += 2) {
    NodeId key = mapping.pairs[i];
    const auto fresh = static_cast<uint32_t>(data.size());
    Path& path = data.emplace_back().second;
    bool sound = false;
    if (graph_.IsString(key)) {
      DCP_ASSIGN_OR_RETURN(sound, ReadPath(mapping.pairs[i + 1], &path));
    }
    if (!sound) {
      data.pop_back();
      if (HasRoomForNote())
        Note("planner_data has {} for {}, which is not used",
             Describe(graph_, mapping.pairs[i + 1]),
             graph_.IsString(key) ? PrintableName(graph_.Text(key)) : Describe(graph_, key));
      continue;
    }
    std::string_view name = graph_.Text(key);
    DCP_RETURN_IF_ERROR(Charge(name.size(), &text_left_));
    const uint32_t id = PlaceOf(key, name, fresh);
    if (id == fresh) {
      data.back().first = name;
    } else {
      data[id].second = std::move(path);
      data.pop_back();
    }
  }
  return Status::Ok();
}

// Where the pair of this name is, or `fresh`, where it will be. As long as the names are those of
// the entries, in their order, there can be no two of one name.
uint32_t PlannerDataDecoder::PlaceOf(NodeId key, std::string_view name, uint32_t fresh) {
  const auto& data = *out_.planner_data;
  if (as_entries_) {
    const bool same = fresh < out_.entries.size() &&
                      (state_.entry_names[fresh] == key || out_.entries[fresh].name == name);
    if (same) return fresh;
    as_entries_ = false;
    for (uint32_t i = 0; i < fresh; ++i) {
      seen_.FindOrAdd(SeededHash(data[i].first), i, [](uint32_t) { return false; });
    }
  }
  return seen_.FindOrAdd(SeededHash(name), fresh,
                         [&](uint32_t other) { return data[other].first == name; });
}

Result<bool> PlannerDataDecoder::ReadPath(NodeId node, Path* path) {
  if (!IsSequence(graph_, node)) return false;
  std::span<const NodeId> items = graph_.Items(node);
  if (items.empty()) return false;
  DCP_RETURN_IF_ERROR(Charge(items.size() * (sizeof(PathElement) / 8), &numbers_left_));
  path->reserve(items.size());
  for (NodeId item : items) {
    if (graph_.IsString(item)) {
      const std::string_view text = graph_.Text(item);
      DCP_RETURN_IF_ERROR(Charge(text.size(), &text_left_));
      path->emplace_back(std::in_place_type<std::string>, text);
    } else if (graph_.kind(item) == NodeKind::kInt) {
      path->emplace_back(graph_.AsInt(item));
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace dcp
