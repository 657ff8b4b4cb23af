// The one file of a rank in a rank-local checkpoint: upstream's
// torch.distributed.checkpoint._experimental.
#ifndef DCP_RANKLOCAL_RANK_FILE_H_
#define DCP_RANKLOCAL_RANK_FILE_H_

#include <cstdint>
#include <string>

#include <fmt/format.h>

namespace dcp {

inline std::string RankFileName(int32_t rank) { return fmt::format("checkpoint_{}.pt", rank); }

}  // namespace dcp

#endif  // DCP_RANKLOCAL_RANK_FILE_H_
