// Several buffers, or failures, as one buffer.
#ifndef DCP_COMM_PACK_H_
#define DCP_COMM_PACK_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "comm/communicator.h"

namespace dcp {

// Failures of any ranks. A host's exception does not travel, nor do failures inside a failure.
std::string PackFailures(const std::vector<RankFailure>& failures);
// kCorrupt when there is none.
Result<std::vector<RankFailure>> UnpackFailures(std::string_view packed);

// What a root tells all of what it gathered: every buffer, or which ranks failed.
std::string PackVerdict(const Communicator::Gathered& gathered);
// FailedRanksError when ranks failed; `what` was called.
Result<std::vector<std::string>> UnpackVerdict(std::string_view packed, int32_t world_size,
                                               std::string_view what);

}  // namespace dcp

#endif  // DCP_COMM_PACK_H_
