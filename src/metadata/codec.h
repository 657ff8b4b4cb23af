// `.metadata` and `__N.metadata`: bytes <-> Metadata. docs/format.md has the layout.
#ifndef DCP_METADATA_CODEC_H_
#define DCP_METADATA_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_sink.h"
#include "base/byte_source.h"
#include "base/bytes.h"
#include "metadata/metadata.h"

namespace dcp {

// Which PyTorch must be able to read the file.
enum class Dialect : int32_t {
  kDefault = 0,  // 2.4 to 2.15: today's classes, TensorProperties as a 5-tuple
  kTorch21 = 1,  // 2.1's property classes and fields: read by every version
};

// Whether small objects leave the graph as soon as they are complete. It makes no difference but in
// memory and time: kNone is there to show that.
enum class Folding : uint8_t { kEarly, kNone };

// Decodes any dialect and protocol named in docs/format.md. Checks the trailer when the file
// announces one (kCorrupt on mismatch). Errors name the offset or the field. `file_name` is for
// messages.
Result<Metadata> DecodeMetadata(Bytes bytes, std::string_view file_name,
                                Folding folding = Folding::kEarly);
// The same of a file, which is read as it is decoded: file and tables never lie side by side whole.
// Errors are also the file's. `crc32`, if not null: of the file's bytes.
Result<Metadata> DecodeMetadata(const ByteSource& file, std::string_view file_name,
                                uint32_t* crc32 = nullptr);

// Protocol 4 with ordinary memo use; checkpoint_id as a string; ends, after the pickle's STOP, in
// the checksum trailer that an extra attribute of the Metadata object announces. Comes in pieces of
// about a megabyte, always the same ones, so that a large file is never in memory whole.
// kInvalidArgument, before the first piece, for what Python could not read.
Status EncodeMetadata(const Metadata& metadata, Dialect dialect, const ByteSink& sink);
Result<std::string> EncodeMetadata(const Metadata& metadata, Dialect dialect);

// Merges the rank-local files of a save without collectives, in rank order: same name twice keeps
// the first rank's value for bytes and replicated tensors and joins the chunks of sharded ones.
Result<Metadata> MergeRankMetadata(std::vector<Metadata> ranks);

}  // namespace dcp

#endif  // DCP_METADATA_CODEC_H_
