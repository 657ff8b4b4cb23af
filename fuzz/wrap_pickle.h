// Gives a fuzzed pickle sound surroundings: a torch.save zip with right CRCs and one storage.
#ifndef DCP_FUZZ_WRAP_PICKLE_H_
#define DCP_FUZZ_WRAP_PICKLE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "tensorio/records.h"

namespace dcp {

inline std::string WrapPickle(const uint8_t* data, size_t size) {
  std::string out;
  zip::LayoutWriter writer(records::kPrefix);
  records::Append(records::kPickle, {reinterpret_cast<const char*>(data), size}, &writer, &out);
  records::AppendHead(&writer, &out);
  records::Append("data/0", std::string(24, 'x'), &writer, &out);
  records::AppendTail(0, 0, &writer, &out);
  return out;
}

}  // namespace dcp

#endif  // DCP_FUZZ_WRAP_PICKLE_H_
