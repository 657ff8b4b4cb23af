#include <algorithm>

#include "metadata/codec.h"
#include "metadata/decode_entries.h"
#include "metadata/decode_planner_data.h"
#include "metadata/decode_storage.h"
#include "metadata/decode_storage_meta.h"
#include "metadata/file_input.h"
#include "metadata/objects.h"
#include "metadata/trailer.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::kNoNode;
using pickle::NodeId;
using pickle::NodeKind;

class Decoder : DecodePart {
 public:
  explicit Decoder(DecodeState* state) : DecodePart(state) {}

  // `announced` becomes true when the object says that a trailer follows.
  Result<Metadata> Run(bool* announced) {
    ObjectView root = ViewObject(graph_, graph_.root());
    if (!IsInstance(graph_, root, "Metadata")) {
      return Error(Code::kCorrupt, "the file holds {}, not a Metadata object",
                   Describe(graph_, graph_.root()));
    }
    *announced = Field(graph_, root, kAnnouncement) != kNoNode;
    DCP_RETURN_IF_ERROR(EntriesDecoder(&state_).Read(Field(graph_, root, "state_dict_metadata")));
    DCP_RETURN_IF_ERROR(StorageDecoder(&state_).Read(Field(graph_, root, "storage_data")));
    DCP_RETURN_IF_ERROR(PlannerDataDecoder(&state_).Read(Field(graph_, root, "planner_data")));
    DCP_RETURN_IF_ERROR(StorageMetaDecoder(&state_).Read(Field(graph_, root, "storage_meta")));
    if (NodeId version = Field(graph_, root, "version"); !IsNone(graph_, version)) {
      if (graph_.IsString(version)) {
        DCP_ASSIGN_OR_RETURN(out_.version, Text(version));
      } else {
        Note("version is {}", Describe(graph_, version));
      }
    }
    NoteUnknownFields(root);
    if (state_.notes_left_out > 0)
      out_.notes.push_back(fmt::format("and {} more", state_.notes_left_out));
    return std::move(out_);
  }

 private:
  void NoteUnknownFields(const ObjectView& root) {
    if (root.state == kNoNode || graph_.kind(root.state) != NodeKind::kDict) return;
    constexpr std::string_view kKnown[] = {"state_dict_metadata", "planner_data", "storage_data",
                                           "storage_meta",        "version",      kAnnouncement};
    std::span<const NodeId> pairs = graph_.Pairs(root.state);
    for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
      std::string_view name = graph_.IsString(pairs[i]) ? graph_.Text(pairs[i]) : "(not a string)";
      if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown)) {
        if (HasRoomForNote())
          Note("the field {} is not known: {}", PrintableName(name),
               Describe(graph_, pairs[i + 1]));
      }
    }
  }
};

Result<Metadata> Decode(const ByteSource& file, Folding folding, uint32_t* crc32) {
  DCP_ASSIGN_OR_RETURN(std::unique_ptr<FileInput> input, FileInput::New(file));
  const bool trailer = input->has_trailer();
  const size_t body_size = input->bytes().size();
  FoldedRows rows(body_size);
  DCP_ASSIGN_OR_RETURN(
      pickle::Graph graph,
      pickle::Parse(*input, pickle::Limits(), folding == Folding::kEarly ? &rows : nullptr));
  bool announced = false;
  DecodeState state(graph, rows, static_cast<size_t>(file.size()));
  DCP_ASSIGN_OR_RETURN(Metadata metadata, Decoder(&state).Run(&announced));
  if (crc32 != nullptr) *crc32 = input->crc32();
  if (announced != trailer) {
    return Error(Code::kCorrupt, "{}",
                 announced ? "the checksum trailer that the file announces is missing or damaged"
                           : "the file ends in a checksum trailer that it does not announce");
  }
  if (size_t rest = body_size - graph.consumed(); rest > 0) {
    if (trailer) {
      return Error(Code::kCorrupt, "{} bytes lie between the pickle and its trailer", rest);
    }
    metadata.notes.push_back(fmt::format("{} bytes follow the pickle", rest));
  }
  metadata.checksummed = trailer;
  return metadata;
}

Result<Metadata> Explained(Result<Metadata> metadata, std::string_view file_name) {
  if (metadata.ok()) return metadata;
  // What a store says of a file names it.
  for (const auto& [key, value] : metadata.status().details()) {
    if (key == "file") return metadata;
  }
  return metadata.status()
      .WithContext(PrintableName(file_name))
      .WithDetail("file", std::string(file_name));
}

}  // namespace

Result<Metadata> DecodeMetadata(Bytes bytes, std::string_view file_name, Folding folding) {
  return Explained(Decode(MemorySource(bytes), folding, nullptr), file_name);
}

Result<Metadata> DecodeMetadata(const ByteSource& file, std::string_view file_name,
                                uint32_t* crc32) {
  return Explained(Decode(file, Folding::kEarly, crc32), file_name);
}

}  // namespace dcp
