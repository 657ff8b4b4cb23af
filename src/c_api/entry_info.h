// What dcp.h shows of entries and chunks, of open checkpoints and of metadata by itself.
#ifndef DCP_C_API_ENTRY_INFO_H_
#define DCP_C_API_ENTRY_INFO_H_

#include <string>
#include <vector>

#include "dcp.h"
#include "metadata/metadata.h"

namespace dcp::c_api {

// Fill the caller's structs; their pointers are those of what is shown.
Status ShowEntry(const Entry& entry, dcp_entry_info* info);
// `transform_texts` by transform set: TransformTexts.
Status ShowChunk(const Metadata& metadata, const std::vector<std::string>& transform_texts,
                 const Entry& entry, uint64_t chunk, dcp_chunk_info* info);
std::vector<std::string> TransformTexts(const Metadata& metadata);

}  // namespace dcp::c_api

#endif  // DCP_C_API_ENTRY_INFO_H_
