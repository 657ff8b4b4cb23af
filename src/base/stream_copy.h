// A copy whose target is not read again soon: past the cache where the processor can, so that lines
// which are written whole are not fetched first.
#ifndef DCP_BASE_STREAM_COPY_H_
#define DCP_BASE_STREAM_COPY_H_

#include <cstddef>

namespace dcp {

// As memcpy, but other threads may be shown what was copied only after StreamFence.
void StreamCopy(std::byte* to, const std::byte* from, size_t size);
void StreamFence();

}  // namespace dcp

#endif  // DCP_BASE_STREAM_COPY_H_
