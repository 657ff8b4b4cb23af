// Bytes that come piece by piece.
#ifndef DCP_BASE_BYTE_SINK_H_
#define DCP_BASE_BYTE_SINK_H_

#include <functional>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

// Takes the next piece, which is valid during the call. An error ends what gives it.
using ByteSink = std::function<Status(Bytes)>;

// Gives the same bytes to `sink`, front to back, however often it is called; returns the sink's
// error.
using ByteProducer = std::function<Status(const ByteSink& sink)>;

}  // namespace dcp

#endif  // DCP_BASE_BYTE_SINK_H_
