// Streams a range of a file through pooled buffers, several reads in flight when it is large.
#ifndef DCP_READER_RANGE_READER_H_
#define DCP_READER_RANGE_READER_H_

#include <functional>

#include "reader/reader.h"

namespace dcp {

// Gets pieces of the range in any order; `at` is counted from its begin. All of a range's pieces
// begin at multiples of kChecksumBlock.
using PieceUser = std::function<Status(uint64_t at, Bytes bytes)>;

// Uses at most a quarter of the pool's buffers, but always one.
Status ReadRange(const ReadableFile& file, uint64_t begin, uint64_t size,
                 const ReaderOptions& options, const PieceUser& use);

}  // namespace dcp

#endif  // DCP_READER_RANGE_READER_H_
