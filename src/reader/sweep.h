// Reads ranges of one file for their checksums, in the order in which they lie, by several workers
// in large reads: the disk never waits for a range to be finished.
#ifndef DCP_READER_SWEEP_H_
#define DCP_READER_SWEEP_H_

#include <functional>
#include <span>

#include "reader/item_edges.h"
#include "reader/reader.h"

namespace dcp {

struct SweptRange {
  uint64_t begin;  // in the file
  uint64_t size;   // not 0
};

// Told once for a range, when all of it has come by, on any worker: its CRC32 and its two ends.
// Must not wait for a buffer of the pool.
using SweptUser = std::function<Status(size_t range, uint32_t crc, const ItemEdges& ends)>;

// True when a sweep serves: [begin, begin + size) is not in memory, and the store can have several
// reads in flight.
Result<bool> CanSweep(const ReadableFile& file, uint64_t begin, uint64_t size,
                      const ReaderOptions& options);

// `ranges` lie inside the file, ascending and apart from each other. A range that could not be read
// is not told of, nor is it an error. kCancelled, kOutOfMemory, and what `use` returns, are.
Status Sweep(const ReadableFile& file, std::span<const SweptRange> ranges,
             const ReaderOptions& options, const SweptUser& use);

}  // namespace dcp

#endif  // DCP_READER_SWEEP_H_
