// Which files make a checkpoint's metadata, and how to tell that they were replaced meanwhile.
#ifndef DCP_READER_METADATA_FILES_H_
#define DCP_READER_METADATA_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "metadata/metadata.h"
#include "storage/store.h"

namespace dcp {

inline constexpr std::string_view kMetadataFile = ".metadata";
inline constexpr uint64_t kMaxMetadataSize = 1ull << 36;  // bytes of one metadata file

// True for "__{rank}.metadata", what a save without collectives commits with.
bool ParseRankMetadataName(std::string_view name, int32_t* rank);
std::string RankMetadataName(int32_t rank);

struct CommittedMetadata {
  Metadata metadata;
  // Equal as long as the same bytes are committed.
  std::string fingerprint;
};

// `.metadata`, else every `__N.metadata` merged in rank order. kNotFound ("no checkpoint ...") when
// there is neither, or no folder; kCorrupt when rank-local files of ours are of different saves.
// Files that vanish while they are read are looked for once more.
Result<CommittedMetadata> ReadCommittedMetadata(const Store& store);

// False when the metadata is no longer the one with `fingerprint`.
Result<bool> StillCommitted(const Store& store, const std::string& fingerprint);
// `error` as it reads when the checkpoint was not replaced: a vanished data file is kCorrupt.
Status WithoutReplacement(const Status& error);
// What a read that failed with `error` means: kReplaced ("replaced while open") when the metadata
// is no longer the one with `fingerprint`; kCorrupt for a data file that is simply missing; else
// `error` as it is.
Status ExplainReadError(const Store& store, const std::string& fingerprint, const Status& error);

}  // namespace dcp

#endif  // DCP_READER_METADATA_FILES_H_
