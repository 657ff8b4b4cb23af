#ifndef DCP_C_API_RANK_READER_H_
#define DCP_C_API_RANK_READER_H_

#include <cstdint>

#include "c_api/handle.h"
#include "ranklocal/rank_reader.h"

namespace dcp::c_api {

// dcp_rank_reader_read; with `strict` missing keys are kMismatch.
Status ReadRank(int32_t rank, const dcp_storage* storage, const dcp_value* target, bool strict,
                dcp_value** out, dcp_value** missing);

}  // namespace dcp::c_api

#endif  // DCP_C_API_RANK_READER_H_
