#ifndef DCP_C_API_RANK_WRITER_H_
#define DCP_C_API_RANK_WRITER_H_

#include <memory>

#include "c_api/handle.h"
#include "c_api/save.h"
#include "ranklocal/rank_writer.h"

namespace dcp::c_api {

Status CopyRankWriterOptions(const dcp_rank_writer_options* options, dcp_rank_writer_options* out);

// `options` are checked here; `barrier` (may be null) stands for theirs.
Result<std::shared_ptr<RankWriter>> NewRankWriter(const dcp_rank_writer_options& options,
                                                  std::shared_ptr<Barrier> barrier,
                                                  std::shared_ptr<const Engine> engine);

// NULL gives null.
Result<ValuePtr> ExtraOf(const dcp_value* extra);

// What a rank-local save has written.
SaveResult ResultOfBytes(uint64_t bytes);

}  // namespace dcp::c_api

#endif  // DCP_C_API_RANK_WRITER_H_
