#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "cli/tree.h"

namespace dcp::cli {
namespace {

struct ShowOptions {
  std::string path = ".";
  bool shards = false;
};

struct FileUse {
  uint64_t items = 0;
  uint64_t bytes = 0;
};

// Everything `show` prints, gathered first.
struct Contents {
  std::vector<Entry> entries;
  std::vector<std::vector<PathPart>> paths;  // one an entry
  std::vector<std::vector<Chunk>> chunks;    // likewise
  std::map<std::string, FileUse> files;
};

Failure Gather(const Checkpoint& checkpoint, Contents* out) {
  if (Failure failure = checkpoint.ReadEntries(&out->entries)) return failure;
  for (const Entry& entry : out->entries) {
    if (Failure failure = ReadPath(checkpoint, entry, &out->paths.emplace_back())) return failure;
    std::vector<Chunk>& chunks = out->chunks.emplace_back();
    for (uint64_t i = 0; i < entry.chunk_count; ++i) {
      if (Failure failure = checkpoint.ReadChunk(entry.index, i, &chunks.emplace_back())) {
        return failure;
      }
      const Chunk& chunk = chunks.back();
      if (chunk.file == nullptr) continue;
      FileUse& use = out->files[chunk.file];
      ++use.items;
      use.bytes += chunk.length;
    }
  }
  return Failure();
}

std::string ShardsText(const Entry& entry, const std::vector<Chunk>& chunks) {
  std::set<std::string_view> files;
  for (const Chunk& chunk : chunks) {
    if (chunk.file != nullptr) files.insert(chunk.file);
  }
  std::string where = files.empty()       ? "not stored"
                      : files.size() == 1 ? Escape(*files.begin())
                                          : fmt::format("{} .. {}", Escape(*files.begin()),
                                                        Escape(*files.rbegin()));
  if (!entry.is_tensor) return where;
  return fmt::format("{} in {}", Count(entry.chunk_count, "shard"), where);
}

std::string ChunkText(const Entry& entry, const Chunk& chunk) {
  std::string box;
  if (entry.is_tensor) {
    std::vector<std::string> ranges;
    for (size_t d = 0; d < chunk.sizes.size(); ++d) {
      ranges.push_back(fmt::format("{}:{}", chunk.offsets[d], chunk.offsets[d] + chunk.sizes[d]));
    }
    box = fmt::format("[{}]  ", fmt::join(ranges, ", "));
  }
  if (chunk.file == nullptr) return box + "not stored";
  std::string text =
      fmt::format("{}{} at {}, {} bytes", box, Escape(chunk.file), chunk.offset, chunk.length);
  if (!chunk.transforms.empty()) text += fmt::format(", {}", Escape(chunk.transforms));
  return text;
}

void PrintTree(const Contents& contents, bool shards) {
  std::vector<TreeRow> rows = LayOutTree(contents.paths);
  size_t name_width = 0, kind_width = 0, shape_width = 0, bytes_width = 0;
  for (const TreeRow& row : rows) {
    if (row.entry == kNoEntry) continue;
    const Entry& entry = contents.entries[row.entry];
    name_width = std::max(name_width, Columns(row.branch) + Columns(row.label));
    kind_width = std::max(kind_width, Escape(KindText(entry)).size());
    if (entry.is_tensor) shape_width = std::max(shape_width, ShapeText(entry.shape).size());
    bytes_width = std::max(bytes_width, HumanBytes(entry.bytes).size());
  }
  for (const TreeRow& row : rows) {
    std::string branch = Coloured(row.branch, 90);
    if (row.entry == kNoEntry) {
      fmt::print("{}{}\n", branch, Coloured(row.label, 34));
      continue;
    }
    const Entry& entry = contents.entries[row.entry];
    const std::vector<Chunk>& chunks = contents.chunks[row.entry];
    size_t used = Columns(row.branch) + Columns(row.label);
    fmt::print("{}{}{:{}}  {:<{}}  {:<{}}  {:>{}}  {}\n", branch, row.label, "", name_width - used,
               Escape(KindText(entry)), kind_width,
               entry.is_tensor ? ShapeText(entry.shape) : std::string(), shape_width,
               HumanBytes(entry.bytes), bytes_width, Coloured(ShardsText(entry, chunks), 90));
    if (!shards) continue;
    for (const Chunk& chunk : chunks) {
      fmt::print("{}    {}\n", Coloured(row.below, 90), ChunkText(entry, chunk));
    }
  }
}

void PrintText(const Checkpoint& checkpoint, const Contents& contents, bool shards) {
  uint64_t tensors = 0, bytes = 0, stored = 0;
  for (const Entry& entry : contents.entries) {
    tensors += entry.is_tensor;
    bytes += entry.bytes;
  }
  for (const auto& [name, use] : contents.files) stored += use.bytes;
  fmt::print("{}: {}, {}, {}; {} in {}\n", Coloured(Escape(checkpoint.where()), 1),
             Count(tensors, "tensor"), Count(contents.entries.size() - tensors, "object"),
             HumanBytes(bytes), HumanBytes(stored), Count(contents.files.size(), "file"));
  PrintTree(contents, shards);
  if (!contents.files.empty()) fmt::print("\n");
  size_t width = 0;
  for (const auto& [name, use] : contents.files) width = std::max(width, Columns(Escape(name)));
  for (const auto& [name, use] : contents.files) {
    std::string shown = Escape(name);
    fmt::print("{}{:{}}  {:>10}  {}\n", shown, "", width - Columns(shown), HumanBytes(use.bytes),
               Count(use.items, "item"));
  }
  for (size_t i = 0; i < dcp_checkpoint_note_count(checkpoint.get()); ++i) {
    fmt::print("note: {}\n", Escape(dcp_checkpoint_note(checkpoint.get(), i)));
  }
}

Json PropertyJson(const Checkpoint& checkpoint, int32_t property) {
  const char* text = dcp_checkpoint_property(checkpoint.get(), property);
  return text == nullptr ? Json(nullptr) : Json(text);
}

void PrintShowJson(const Session& session, const Checkpoint& checkpoint, const Contents& contents) {
  Json document = session.Document();
  document["path"] = checkpoint.where();
  document["checkpoint_id"] = PropertyJson(checkpoint, DCP_PROPERTY_CHECKPOINT_ID);
  document["save_id"] = PropertyJson(checkpoint, DCP_PROPERTY_SAVE_ID);
  document["version"] = PropertyJson(checkpoint, DCP_PROPERTY_VERSION);
  document["metadata_checksummed"] =
      dcp_checkpoint_property(checkpoint.get(), DCP_PROPERTY_CHECKSUMMED) != nullptr;
  Json entries = Json::array();
  for (size_t i = 0; i < contents.entries.size(); ++i) {
    Json entry = EntryJson(contents.entries[i]);
    entry["path"] = PathJson(contents.paths[i]);
    Json chunks = Json::array();
    for (const Chunk& chunk : contents.chunks[i]) {
      Json json;
      json["offsets"] = std::vector<int64_t>(chunk.offsets.begin(), chunk.offsets.end());
      json["sizes"] = std::vector<int64_t>(chunk.sizes.begin(), chunk.sizes.end());
      json["file"] = chunk.file == nullptr ? Json(nullptr) : Json(chunk.file);
      json["offset"] = chunk.offset;
      json["length"] = chunk.length;
      json["transforms"] = std::string(chunk.transforms);
      chunks.push_back(std::move(json));
    }
    entry["chunks"] = std::move(chunks);
    entries.push_back(std::move(entry));
  }
  document["entries"] = std::move(entries);
  Json files = Json::array();
  for (const auto& [name, use] : contents.files) {
    files.push_back({{"name", name}, {"items", use.items}, {"bytes", use.bytes}});
  }
  document["files"] = std::move(files);
  Json notes = Json::array();
  for (size_t i = 0; i < dcp_checkpoint_note_count(checkpoint.get()); ++i) {
    notes.push_back(dcp_checkpoint_note(checkpoint.get(), i));
  }
  document["notes"] = std::move(notes);
  PrintJson(document);
}

int RunShow(Session& session, const ShowOptions& options) {
  Checkpoint checkpoint;
  if (Failure failure = Checkpoint::Open(session, options.path, &checkpoint)) {
    return session.Fail(failure);
  }
  Contents contents;
  if (Failure failure = Gather(checkpoint, &contents)) return session.Fail(failure);
  if (session.json) {
    PrintShowJson(session, checkpoint, contents);
  } else {
    PrintText(checkpoint, contents, options.shards);
  }
  return kFine;
}

}  // namespace

Command AddShow(CLI::App& app) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command =
      app.add_subcommand("show", "Show the tree of names, with shards and the files they are in");
  command->add_option("path", options->path, "The checkpoint; the current folder when not given");
  command->add_flag("--shards", options->shards, "A line for each shard");
  return {command, [options](Session& session) { return RunShow(session, *options); }};
}

}  // namespace dcp::cli
