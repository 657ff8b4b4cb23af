// A `.metadata` file in memory, and where in it the values lie that another save of the same layout
// has others of: it is written over instead of made anew.
#ifndef DCP_METADATA_IMAGE_H_
#define DCP_METADATA_IMAGE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_sink.h"
#include "metadata/codec.h"

namespace dcp {

// Where values lie in an encoded file.
struct MetadataMarks {
  static constexpr size_t kBlock = 4096;  // CRCs

  struct Text {
    uint64_t at = 0;    // of its opcode
    uint64_t size = 0;  // with opcode and length
  };
  uint64_t storage = 0;          // where the places of items begin
  std::vector<uint64_t> blocks;  // of every kBlock-th CRC, from the first
  std::vector<uint32_t> gaps;    // of each CRC from the one before; of a block's first: unused
  std::vector<Text> files;       // by number of the file; size 0: in no item's place
  Text checkpoint_id;
  Text save_id;
  bool complete = true;  // every item that has a place has a CRC, and both ids are there
};
// As EncodeMetadata, and fills `marks`, which is new.
Status EncodeMetadata(const Metadata& metadata, Dialect dialect, const ByteSink& sink,
                      MetadataMarks* marks);

class MetadataImage {
 public:
  static Result<MetadataImage> Encode(const Metadata& metadata, Dialect dialect);

  struct Changes {
    std::span<const uint32_t> crc32;     // of each item that has a place, by entry and chunk
    std::span<const std::string> files;  // Metadata::files
    std::string_view checkpoint_id;
    std::string_view save_id;
  };
  // The file becomes what EncodeMetadata gives for the same metadata with these changes. False, and
  // nothing has changed, where that does not go: a CRC or an id was missing, there are more or
  // fewer of them now, or the name of a file has another length. `workers` threads.
  bool Patch(const Changes& changes, size_t workers);

  Bytes bytes() const { return AsBytes(file_); }
  // In pieces of a megabyte; none is copied.
  Status Give(const ByteSink& sink) const;

 private:
  bool Fits(const Changes& changes) const;
  void ReplaceTail(std::string_view checkpoint_id, std::string_view save_id);
  void Seal(size_t workers, std::span<const uint32_t> crc32);
  uint64_t BlockEnd(size_t block) const;

  std::string file_;
  MetadataMarks marks_;
  uint32_t head_crc_ = 0;  // of what lies before marks_.storage
};

}  // namespace dcp

#endif  // DCP_METADATA_IMAGE_H_
