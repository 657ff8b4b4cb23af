#include "metadata/decode_storage_meta.h"

#include "metadata/objects.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::NodeId;

}  // namespace

Status StorageMetaDecoder::Read(NodeId node) {
  if (IsNone(graph_, node)) return Status::Ok();
  ObjectView object = ViewObject(graph_, node);
  if (!IsInstance(graph_, object, "StorageMeta")) {
    Note("storage_meta is {}, which is not used", Describe(graph_, node));
    return Status::Ok();
  }
  StorageMeta& meta = out_.storage_meta.emplace();
  NodeId id = Field(graph_, object, "checkpoint_id");
  if (!IsNone(graph_, id)) {
    DCP_ASSIGN_OR_RETURN(meta.checkpoint_id, PathText(id));
    if (!meta.checkpoint_id) Note("checkpoint_id is {}, which is not used", Describe(graph_, id));
  }
  for (auto [field, out] : {std::pair(std::string_view("save_id"), &meta.save_id),
                            {std::string_view("load_id"), &meta.load_id}}) {
    NodeId value = Field(graph_, object, field);
    if (IsNone(graph_, value)) continue;
    if (graph_.IsString(value)) {
      DCP_ASSIGN_OR_RETURN(*out, Text(value));
    } else {
      Note("{} is {}, which is not used", field, Describe(graph_, value));
    }
  }
  NodeId modules = Field(graph_, object, "modules");
  if (IsNone(graph_, modules)) return Status::Ok();
  if (!IsSequence(graph_, modules)) {
    Note("modules is {}, which is not used", Describe(graph_, modules));
    return Status::Ok();
  }
  for (NodeId item : graph_.Items(modules)) {
    if (!graph_.IsString(item)) {
      if (HasRoomForNote()) Note("modules has {}, which is not used", Describe(graph_, item));
      continue;
    }
    DCP_RETURN_IF_ERROR(Charge(sizeof(std::string), &text_left_));
    DCP_ASSIGN_OR_RETURN(meta.modules.emplace_back(), Text(item));
  }
  return Status::Ok();
}

// A string, or a path of pathlib: its parts, or (3.13) the whole in one.
Result<std::optional<std::string>> StorageMetaDecoder::PathText(NodeId node) {
  if (graph_.IsString(node)) {
    DCP_ASSIGN_OR_RETURN(std::string text, Text(node));
    return std::optional<std::string>(std::move(text));
  }
  ObjectView object = ViewObject(graph_, node);
  if (!object || !graph_.Module(object.type).starts_with("pathlib")) {
    return std::optional<std::string>();
  }
  bool windows = graph_.Name(object.type).find("Windows") != std::string_view::npos;
  char separator = windows ? '\\' : '/';
  std::string joined;
  for (NodeId part : object.arguments) {
    if (!graph_.IsString(part)) return std::optional<std::string>();
    DCP_RETURN_IF_ERROR(Charge(graph_.Text(part).size() + 1, &text_left_));
    if (!joined.empty() && joined.back() != separator) joined.push_back(separator);
    joined += graph_.Text(part);
  }
  return std::optional<std::string>(joined.empty() ? "." : std::move(joined));
}

}  // namespace dcp
