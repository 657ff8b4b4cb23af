// What verify reads of a file before it looks at one item after the other: the large ones, in one
// sweep from front to back.
#ifndef DCP_CATALOG_VERIFY_SWEEP_H_
#define DCP_CATALOG_VERIFY_SWEEP_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "metadata/metadata.h"
#include "reader/reader.h"
#include "reader/sweep.h"

namespace dcp {

// An item, and what of it is known to be as it should.
struct ItemToVerify {
  const Entry* entry;
  uint32_t chunk;
  std::optional<uint64_t> padding = {};  // where the zeros in front of it begin
  bool checked = false;                  // nothing is left to do
  bool payload_checked = false;          // of a dense tensor without a checksum in the metadata
  const Location& location() const { return entry->locations[chunk]; }
  uint64_t end() const { return location().offset + location().length; }
};

// Items that lie side by side in a file, so that they are read together; large ones by themselves.
// `items` are in the order of files and offsets.
std::vector<std::span<const ItemToVerify>> RunsOf(std::span<const ItemToVerify> items);

class FileSweep {
 public:
  // All must outlive it. `on_whole` is told of every item that is found to be whole, by any worker;
  // its failure ends the sweep.
  FileSweep(const Metadata& metadata, ItemReader* reader, const ReaderOptions& options,
            std::function<Status(const ItemToVerify&)> on_whole)
      : metadata_(metadata), reader_(reader), options_(options), on_whole_(std::move(on_whole)) {}

  // Reads the large items of a file, and those that lie alone between them. Where nothing is wrong,
  // nothing is left to be read (`checked`, `payload_checked`, no `padding`); else the item is to be
  // read again, and tells what is.
  Status Run(std::span<ItemToVerify> items);

 private:
  // What one range of a sweep must give.
  struct Expected {
    ItemToVerify* item;
    enum class What : uint8_t { kItem, kPadding, kPayload } what;
    uint32_t crc32;
  };
  Status ReadHeaders(const std::vector<ItemToVerify*>& items,
                     std::vector<std::optional<StoredTensor>>* stored);
  Status Use(const Expected& expected, const ItemEdges& ends);

  const Metadata& metadata_;
  ItemReader* const reader_;
  const ReaderOptions& options_;
  const std::function<Status(const ItemToVerify&)> on_whole_;
};

}  // namespace dcp

#endif  // DCP_CATALOG_VERIFY_SWEEP_H_
