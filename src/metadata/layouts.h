// torch.layout by name: what torch.serialization._get_layout takes.
#ifndef DCP_METADATA_LAYOUTS_H_
#define DCP_METADATA_LAYOUTS_H_

#include <algorithm>
#include <iterator>
#include <string_view>

namespace dcp {

inline bool IsKnownLayout(std::string_view layout) {
  constexpr std::string_view kKnown[] = {"torch.strided",    "torch.sparse_coo", "torch.sparse_csr",
                                         "torch.sparse_csc", "torch.sparse_bsr", "torch.sparse_bsc",
                                         "torch._mkldnn",    "torch.jagged"};
  return std::find(std::begin(kKnown), std::end(kKnown), layout) != std::end(kKnown);
}

}  // namespace dcp

#endif  // DCP_METADATA_LAYOUTS_H_
