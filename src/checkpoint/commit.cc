#include "checkpoint/commit.h"

#include <algorithm>
#include <memory>

#include "reader/metadata_files.h"

namespace dcp {
namespace {

enum class Committed { kNew, kOld, kUnknown };

// What `.metadata` holds now: the bytes of this save, something else or nothing, or who knows.
Committed ReadBack(const Store& store, const ByteProducer& encode) {
  auto opened = store.Open(kMetadataFile);
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

Status RemoveTemporary(Store& store, const Status& error) {
  Status removed = store.Remove(kMetadataTemporary);
  if (removed.ok() || removed.code() == Code::kNotFound) return error;
  return error.WithDetail("left_behind", std::string(kMetadataTemporary));
}

}  // namespace

Result<CommitOutcome> CommitMetadata(Store& store, const ByteProducer& encode, bool durable) {
  CommitOutcome outcome;
  if (durable) {
    DCP_RETURN_IF_ERROR(
        store.SyncFolder().WithContext("making the names of the data files durable"));
  }
  Status written = WriteInPieces(store, kMetadataTemporary, encode, durable);
  if (!written.ok()) {
    return RemoveTemporary(store, written.WithContext("writing the metadata"));
  }
  Status renamed = store.Rename(kMetadataTemporary, kMetadataFile);
  if (!renamed.ok()) {
    renamed = renamed.WithContext("renaming the metadata into place");
    switch (ReadBack(store, encode)) {
      case Committed::kUnknown:
        return Unknown(store, renamed);
      case Committed::kOld:
        return RemoveTemporary(store, renamed);
      case Committed::kNew:
        break;
    }
    outcome.warnings.push_back(fmt::format("{}; but {} holds this save, so it is committed",
                                           renamed.message(), kMetadataFile));
  }
  if (!durable) return outcome;
  Status synced = store.SyncFolder();
  if (synced.ok()) return outcome;
  if (ReadBack(store, encode) != Committed::kNew) {
    return Unknown(store, synced.WithContext("syncing the folder after the rename"));
  }
  outcome.synced = false;
  outcome.warnings.push_back(
      fmt::format("the checkpoint at {} is committed, but may not survive a power cut, because "
                  "syncing its folder failed: {}. Files of the older one were kept",
                  store.location(), synced.message()));
  return outcome;
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
    DataFile data;
    int32_t owner;
    if (ParseDataFileName(name, &data)) {
      if (keep.contains(name)) continue;
      owner = data.rank;
    } else if (name == kMetadataTemporary) {
      if (coordinator) stale.push_back(name);
      continue;
    } else if (!ParseRankMetadataName(name, &owner)) {
      continue;
    }
    if (owner == rank || (coordinator && owner >= world_size)) stale.push_back(name);
  }
  return RemoveFiles(store, stale);
}

}  // namespace dcp
