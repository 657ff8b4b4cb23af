#include "checkpoint/commit.h"

#include <algorithm>
#include <memory>

#include "reader/metadata_files.h"

namespace dcp {
namespace {

enum class Committed { kNew, kOld, kUnknown };

// What the metadata file holds now: the bytes of this save, something else or nothing, or who
// knows.
Committed ReadBack(const Store& store, const std::string& metadata, const ByteProducer& encode) {
  auto opened = store.Open(metadata);
  if (!opened.ok()) {
    return opened.status().code() == Code::kNotFound ? Committed::kOld : Committed::kUnknown;
  }
  const std::unique_ptr<ReadableFile> file = *std::move(opened);
  uint64_t at = 0;
  bool same = true;
  std::vector<std::byte> now;
  const Status compared = encode([&](Bytes piece) -> Status {
    same = same && piece.size() <= file->size() - at;
    if (!same) return Status::Ok();
    now.resize(piece.size());
    DCP_RETURN_IF_ERROR(file->ReadAt(at, now));
    at += piece.size();
    same = std::equal(piece.begin(), piece.end(), now.begin());
    return Status::Ok();
  });
  if (!compared.ok()) return Committed::kUnknown;
  return same && at == file->size() ? Committed::kNew : Committed::kOld;
}

Status Unknown(const Store& store, const Status& error) {
  return Error(Code::kOutcomeUnknown,
               "the save to {} may or may not have been committed: {}. Nothing was removed; open "
               "the checkpoint and compare its save_id",
               store.location(), error.message())
      .WithForeign(error.foreign());
}

Status RemoveTemporary(Store& store, const CommitNames& names, const Status& error) {
  Status removed = store.Remove(names.temporary);
  if (removed.ok() || removed.code() == Code::kNotFound) return error;
  return error.WithDetail("left_behind", names.temporary);
}

// A failure here is one to commit: what is left could be renamed over what is to come.
Status RemoveUnfinished(Store& store, const CommitNames& names) {
  DCP_ASSIGN_OR_RETURN(const std::vector<std::string> files, store.List());
  for (const std::string& name : files) {
    std::string metadata;
    if (!ParseTemporaryName(name, &metadata) || metadata != names.metadata) continue;
    Status removed = store.Remove(name);
    if (!removed.ok() && removed.code() != Code::kNotFound) return removed;
  }
  return Status::Ok();
}

}  // namespace

CommitNames CommitNamesFor(std::string metadata, std::string_view save_id) {
  std::string temporary = fmt::format("{}.{}.tmp", metadata, save_id);
  return {std::move(metadata), std::move(temporary)};
}

bool ParseTemporaryName(std::string_view name, std::string* metadata) {
  constexpr std::string_view kEnd = ".tmp";
  if (!name.ends_with(kEnd)) return false;
  name.remove_suffix(kEnd.size());
  const size_t end = name.find(kMetadataFile);  // ends the metadata's name
  if (end == std::string_view::npos) return false;
  const std::string_view whole = name.substr(0, end + kMetadataFile.size());
  const std::string_view save_id = name.substr(whole.size());
  int32_t rank;
  if (whole != kMetadataFile && !ParseRankMetadataName(whole, &rank)) return false;
  if (!save_id.empty() && (save_id.size() == 1 || save_id[0] != '.')) return false;
  *metadata = whole;
  return true;
}

Status WriteTemporary(Store& store, const CommitNames& names, const ByteProducer& encode,
                      bool durable) {
  DCP_RETURN_IF_ERROR(RemoveUnfinished(store, names).WithContext("removing an unfinished commit"));
  Status written = WriteInPieces(store, names.temporary, encode, durable);
  if (!written.ok()) {
    return RemoveTemporary(store, names, written.WithContext("writing the metadata"));
  }
  if (!durable) return written;
  // Last: a journal holds the folder's changes by now, so that this costs nothing there.
  Status synced = store.SyncFolder();
  if (synced.ok()) return synced;
  return RemoveTemporary(store, names,
                         synced.WithContext("making the names of the data files durable"));
}

Result<CommitOutcome> RenameIntoPlace(Store& store, const CommitNames& names,
                                      const ByteProducer& encode, bool durable) {
  CommitOutcome outcome;
  Status renamed = store.Rename(names.temporary, names.metadata);
  if (!renamed.ok()) {
    renamed = renamed.WithContext("renaming the metadata into place");
    switch (ReadBack(store, names.metadata, encode)) {
      case Committed::kUnknown:
        return Unknown(store, renamed);
      case Committed::kOld:
        return RemoveTemporary(store, names, renamed);
      case Committed::kNew:
        break;
    }
    outcome.warnings.push_back(fmt::format("{}; but {} holds this save, so it is committed",
                                           renamed.message(), names.metadata));
  }
  if (!durable) return outcome;
  Status synced = store.SyncFolder();
  if (synced.ok()) return outcome;
  if (ReadBack(store, names.metadata, encode) != Committed::kNew) {
    return Unknown(store, synced.WithContext("syncing the folder after the rename"));
  }
  outcome.synced = false;
  outcome.warnings.push_back(
      fmt::format("the checkpoint at {} is committed, but may not survive a power cut, because "
                  "syncing its folder failed: {}. Files of the older one were kept",
                  store.location(), synced.message()));
  return outcome;
}

Result<CommitOutcome> CommitMetadata(Store& store, const CommitNames& names,
                                     const ByteProducer& encode, bool durable) {
  DCP_RETURN_IF_ERROR(WriteTemporary(store, names, encode, durable));
  return RenameIntoPlace(store, names, encode, durable);
}

std::vector<std::string> RemoveFiles(Store& store, const std::vector<std::string>& files) {
  std::vector<std::string> warnings;
  for (const std::string& name : files) {
    Status removed = store.Remove(name);
    if (removed.ok() || removed.code() == Code::kNotFound) continue;
    warnings.push_back(fmt::format("{} could not be removed: {}", name, removed.message()));
  }
  return warnings;
}

std::vector<std::string> RemoveStale(Store& store, const std::set<std::string>& keep, int32_t rank,
                                     int32_t world_size, bool coordinator) {
  Result<std::vector<std::string>> files = store.List();
  if (!files.ok()) {
    return {fmt::format("files of an older checkpoint may be left: {}", files.status().message())};
  }
  std::vector<std::string> stale;
  for (const std::string& name : *files) {
    if (keep.contains(name)) continue;
    DataFile data;
    std::string metadata = name;
    int32_t owner;
    if (ParseDataFileName(name, &data)) {
      owner = data.rank;
    } else {
      ParseTemporaryName(name, &metadata);
      if (metadata == kMetadataFile) {
        if (coordinator) stale.push_back(name);
        continue;
      }
      if (!ParseRankMetadataName(metadata, &owner)) continue;
    }
    if (owner == rank || (coordinator && owner >= world_size)) stale.push_back(name);
  }
  return RemoveFiles(store, stale);
}

}  // namespace dcp
