// Writes items one after the other into a file's stream.
#ifndef DCP_WRITER_ITEM_WRITER_H_
#define DCP_WRITER_ITEM_WRITER_H_

#include <atomic>
#include <string>

#include "writer/file_stream.h"
#include "writer/layout_cache.h"
#include "writer/payload_crc.h"
#include "writer/payload_source.h"
#include "writer/writer.h"

namespace dcp {

// One thread; keeps its scratch memory from item to item and file to file.
class ItemWriter {
 public:
  // Stops between blocks with kCancelled once *stop is set. All arguments must outlive it.
  ItemWriter(const WriterOptions& options, const std::atomic<bool>& stop)
      : options_(options), stop_(stop), layouts_(options.block_checksums) {}

  // Appends the item; sets offset, length and crc32 of *item. Errors do not name tensor or file.
  Status Write(const WriteJob& job, FileStream& stream, WrittenItem* item);

  // Small items are told to options.progress some at a time; this tells the last ones.
  Status TellProgress();

 private:
  Status WriteTensor(const Tensor& tensor, FileStream& stream, WrittenItem* item);
  Status WriteEncoded(const WriteJob& job, FileStream& stream, WrittenItem* item);
  Status StreamPayload(const PayloadSource& source, uint64_t size, FileStream& stream);
  Status SendStraight(const std::byte* data, uint64_t size, FileStream& stream);
  Status Step(uint64_t bytes, uint64_t items);

  const WriterOptions& options_;
  const std::atomic<bool>& stop_;
  LayoutCache layouts_;
  PayloadCrc crc_;
  std::string suffix_;
  uint64_t untold_bytes_ = 0;
  uint64_t untold_items_ = 0;
  std::vector<std::byte> scratch_;  // payload on its way into transforms
};

}  // namespace dcp

#endif  // DCP_WRITER_ITEM_WRITER_H_
