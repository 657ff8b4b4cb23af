#include "reader/metadata_files.h"

#include <algorithm>
#include <charconv>
#include <new>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "metadata/codec.h"

namespace dcp {
namespace {

constexpr std::string_view kRankPrefix = "__";
constexpr std::string_view kRankSuffix = ".metadata";

struct ReadFile {
  std::string name;
  std::string fingerprint;
  Metadata metadata;
};

using Reading = Result<ReadFile> (*)(const ReadableFile& file, std::string name);

std::string FingerprintOf(std::string_view name, uint64_t size, uint32_t crc) {
  return fmt::format("{}:{}:{:08x};", name, size, crc);
}

Result<ReadFile> ReadAndDecode(const ReadableFile& file, std::string name) {
  uint32_t crc = 0;
  DCP_ASSIGN_OR_RETURN(Metadata metadata, DecodeMetadata(file, name, &crc));
  std::string fingerprint = FingerprintOf(name, file.size(), crc);
  return ReadFile{std::move(name), std::move(fingerprint), std::move(metadata)};
}

Result<ReadFile> ReadFingerprint(const ReadableFile& file, std::string name) {
  const uint64_t size = file.size();
  std::vector<std::byte> block(static_cast<size_t>(std::min<uint64_t>(size, 1 << 20)));
  uint32_t crc = 0;
  for (uint64_t at = 0; at < size; at += block.size()) {
    const auto part = static_cast<size_t>(std::min<uint64_t>(size - at, block.size()));
    DCP_RETURN_IF_ERROR(file.ReadAt(at, MutableBytes(block).first(part)));
    crc = Crc32(crc, Bytes(block).first(part));
  }
  std::string fingerprint = FingerprintOf(name, size, crc);
  return ReadFile{std::move(name), std::move(fingerprint), Metadata()};
}

Result<ReadFile> ReadOne(const Store& store, std::string name, Reading read) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Open(name));
  if (file->size() > kMaxMetadataSize) {
    return Error(Code::kLimit, "'{}' in {} has {} bytes, more than the {} allowed here", name,
                 store.location(), file->size(), kMaxMetadataSize)
        .WithDetail("file", name);
  }
  try {
    return read(*file, std::move(name));
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "no memory left for the metadata in {}", store.location());
  }
}

Status NoCheckpoint(const Store& store) {
  return Error(Code::kNotFound, "no checkpoint at {}: there is no .metadata and no __0.metadata",
               store.location())
      .WithDetail("location", std::string(store.location()));
}

// The metadata files there are, in rank order; empty when there are none.
Result<std::vector<ReadFile>> ReadOnce(const Store& store, Reading read) {
  std::vector<ReadFile> files;
  Result<ReadFile> whole = ReadOne(store, std::string(kMetadataFile), read);
  if (whole.ok()) {
    files.push_back(*std::move(whole));
    return files;
  }
  if (whole.status().code() != Code::kNotFound) return whole.status();
  Result<std::vector<std::string>> names = store.List();
  if (!names.ok()) {
    if (names.status().code() == Code::kNotFound) return files;
    return names.status();
  }
  std::vector<int32_t> ranks;
  for (const std::string& name : *names) {
    int32_t rank;
    if (ParseRankMetadataName(name, &rank)) ranks.push_back(rank);
    if (name == kMetadataFile) {
      return Error(Code::kNotFound, "{} appeared while it was looked for", kMetadataFile);
    }
  }
  std::sort(ranks.begin(), ranks.end());
  for (int32_t rank : ranks) {
    DCP_ASSIGN_OR_RETURN(ReadFile file, ReadOne(store, RankMetadataName(rank), read));
    files.push_back(std::move(file));
  }
  return files;
}

Result<std::vector<ReadFile>> ReadAllFiles(const Store& store, Reading read) {
  Result<std::vector<ReadFile>> files = ReadOnce(store, read);
  if (!files.ok() && files.status().code() == Code::kNotFound) files = ReadOnce(store, read);
  return files;
}

std::string JoinedFingerprint(const std::vector<ReadFile>& files) {
  std::string joined;
  for (const ReadFile& file : files) joined += file.fingerprint;
  return joined;
}

}  // namespace

bool ParseRankMetadataName(std::string_view name, int32_t* rank) {
  if (!name.starts_with(kRankPrefix) || !name.ends_with(kRankSuffix) ||
      name.size() <= kRankPrefix.size() + kRankSuffix.size()) {
    return false;
  }
  std::string_view digits =
      name.substr(kRankPrefix.size(), name.size() - kRankPrefix.size() - kRankSuffix.size());
  int32_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < 0) return false;
  if (RankMetadataName(value) != name) return false;
  *rank = value;
  return true;
}

std::string RankMetadataName(int32_t rank) {
  return fmt::format("{}{}{}", kRankPrefix, rank, kRankSuffix);
}

namespace {

// Ranks that committed one by one share their save's id; those of stock have ids of their own.
Status CheckOneSave(const Store& store, const std::vector<ReadFile>& files) {
  const auto id_of = [](const ReadFile& file) {
    const std::optional<StorageMeta>& meta = file.metadata.storage_meta;
    return meta && meta->save_id ? *meta->save_id : std::string();
  };
  for (const ReadFile& file : files) {
    if (!file.metadata.checksummed) return Status::Ok();  // not of ours
  }
  for (const ReadFile& file : files) {
    if (id_of(file) == id_of(files[0])) continue;
    return Error(Code::kCorrupt,
                 "the checkpoint at {} is of two saves: {} of {}, {} of {}. A save without "
                 "collectives is replacing an older one, or was stopped while it did: save again",
                 store.location(), files[0].name, id_of(files[0]), file.name, id_of(file));
  }
  return Status::Ok();
}

}  // namespace

Result<CommittedMetadata> ReadCommittedMetadata(const Store& store) {
  Result<std::vector<ReadFile>> read = ReadAllFiles(store, ReadAndDecode);
  if (!read.ok()) return read.status().WithDetail("location", std::string(store.location()));
  std::vector<ReadFile> files = *std::move(read);
  if (files.empty()) return NoCheckpoint(store);
  DCP_RETURN_IF_ERROR(CheckOneSave(store, files));
  CommittedMetadata committed;
  committed.fingerprint = JoinedFingerprint(files);
  std::vector<Metadata> ranks;
  for (ReadFile& file : files) ranks.push_back(std::move(file.metadata));
  if (files[0].name == kMetadataFile) {
    committed.metadata = std::move(ranks[0]);
    return committed;
  }
  DCP_ASSIGN_OR_RETURN(committed.metadata, MergeRankMetadata(std::move(ranks)));
  for (size_t i = 0; i < files.size(); ++i) {
    std::string expected = RankMetadataName(static_cast<int32_t>(i));
    if (files[i].name == expected) continue;
    committed.metadata.notes.push_back(
        fmt::format("{} is missing, though {} is there", expected, files[i].name));
    break;
  }
  return committed;
}

Result<bool> StillCommitted(const Store& store, const std::string& fingerprint) {
  Result<std::vector<ReadFile>> files = ReadAllFiles(store, ReadFingerprint);
  if (files.ok()) return JoinedFingerprint(*files) == fingerprint;
  if (files.status().code() == Code::kNotFound) return false;
  return files.status();
}

Status WithoutReplacement(const Status& error) {
  if (error.code() != Code::kReplaced && error.code() != Code::kNotFound) return error;
  Status missing =
      Error(Code::kCorrupt, "a file that the metadata names is missing: {}", error.message());
  for (const auto& [key, value] : error.details()) missing = missing.WithDetail(key, value);
  return missing;
}

Status ExplainReadError(const Store& store, const std::string& fingerprint, const Status& error) {
  if (error.code() != Code::kReplaced && error.code() != Code::kNotFound &&
      error.code() != Code::kCorrupt) {
    return error;
  }
  Result<bool> still = StillCommitted(store, fingerprint);
  if (!still.ok()) return error;  // it tells nothing
  if (*still) return WithoutReplacement(error);
  Status replaced = Error(Code::kReplaced,
                          "the checkpoint at {} was replaced while open: {}. Open or load it again",
                          store.location(), error.message());
  for (const auto& [key, value] : error.details()) replaced = replaced.WithDetail(key, value);
  return replaced;
}

}  // namespace dcp
