#include "metadata/decode_planner_data.h"

#include "metadata/id_table.h"
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
  IdTable seen;
  for (size_t i = 0; i + 1 < mapping.pairs.size(); i += 2) {
    NodeId key = mapping.pairs[i];
    Path path;
    bool sound = false;
    if (graph_.IsString(key)) {
      DCP_ASSIGN_OR_RETURN(sound, ReadPath(mapping.pairs[i + 1], &path));
    }
    if (!sound) {
      if (HasRoomForNote())
        Note("planner_data has {} for {}, which is not used",
             Describe(graph_, mapping.pairs[i + 1]),
             graph_.IsString(key) ? PrintableName(graph_.Text(key)) : Describe(graph_, key));
      continue;
    }
    std::string_view name = graph_.Text(key);
    DCP_RETURN_IF_ERROR(Charge(name.size(), &text_left_));
    uint32_t fresh = static_cast<uint32_t>(data.size());
    uint32_t id = seen.FindOrAdd(SeededHash(name), fresh,
                                 [&](uint32_t other) { return data[other].first == name; });
    if (id != fresh) {
      data[id].second = std::move(path);
      continue;
    }
    data.emplace_back(std::string(name), std::move(path));
  }
  return Status::Ok();
}

Result<bool> PlannerDataDecoder::ReadPath(NodeId node, Path* path) {
  if (!IsSequence(graph_, node)) return false;
  std::span<const NodeId> items = graph_.Items(node);
  if (items.empty()) return false;
  DCP_RETURN_IF_ERROR(Charge(items.size() * (sizeof(PathElement) / 8), &numbers_left_));
  path->reserve(items.size());
  for (NodeId item : items) {
    if (graph_.IsString(item)) {
      DCP_ASSIGN_OR_RETURN(std::string text, Text(item));
      path->emplace_back(std::move(text));
    } else if (graph_.kind(item) == NodeKind::kInt) {
      path->emplace_back(graph_.AsInt(item));
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace dcp
