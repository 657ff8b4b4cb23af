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

struct RawFile {
  std::string name;
  PageBuffer pages;
};

Result<RawFile> ReadRawFile(const Store& store, std::string name) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Open(name));
  const uint64_t size = file->size();
  if (size > kMaxMetadataSize) {
    return Error(Code::kLimit, "'{}' in {} has {} bytes, more than the {} allowed here", name,
                 store.location(), size, kMaxMetadataSize)
        .WithDetail("file", name);
  }
  try {
    PageBuffer pages(size);
    DCP_RETURN_IF_ERROR(file->ReadAt(0, pages.mutable_bytes()));
    return RawFile{std::move(name), std::move(pages)};
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "no memory for the {} bytes of '{}' in {}", size, name,
                 store.location());
  }
}

Status NoCheckpoint(const Store& store) {
  return Error(Code::kNotFound, "no checkpoint at {}: there is no .metadata and no __0.metadata",
               store.location())
      .WithDetail("location", std::string(store.location()));
}

// The metadata files there are, in rank order; empty when there are none.
Result<std::vector<RawFile>> ReadOnce(const Store& store) {
  std::vector<RawFile> files;
  Result<RawFile> whole = ReadRawFile(store, std::string(kMetadataFile));
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
    DCP_ASSIGN_OR_RETURN(RawFile file, ReadRawFile(store, RankMetadataName(rank)));
    files.push_back(std::move(file));
  }
  return files;
}

Result<std::vector<RawFile>> ReadRawFiles(const Store& store) {
  Result<std::vector<RawFile>> files = ReadOnce(store);
  if (!files.ok() && files.status().code() == Code::kNotFound) files = ReadOnce(store);
  return files;
}

std::string Fingerprint(const std::vector<RawFile>& files) {
  std::string print;
  for (const RawFile& file : files) {
    const Bytes bytes = file.pages.bytes();
    print += fmt::format("{}:{}:{:08x};", file.name, bytes.size(), Crc32(0, bytes));
  }
  return print;
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

Result<CommittedMetadata> ReadCommittedMetadata(const Store& store) {
  DCP_ASSIGN_OR_RETURN(std::vector<RawFile> files, ReadRawFiles(store));
  if (files.empty()) return NoCheckpoint(store);
  CommittedMetadata committed;
  committed.fingerprint = Fingerprint(files);
  std::vector<Metadata> ranks;
  for (RawFile& file : files) {
    Result<Metadata> decoded = DecodeMetadata(std::move(file.pages), file.name);
    if (!decoded.ok()) {
      return decoded.status().WithDetail("location", std::string(store.location()));
    }
    ranks.push_back(*std::move(decoded));
  }
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
  Result<std::vector<RawFile>> files = ReadRawFiles(store);
  if (files.ok()) return Fingerprint(*files) == fingerprint;
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
