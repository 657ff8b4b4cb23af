#include "metadata/surrogate_escape.h"

#include <algorithm>

#include "value/names.h"

namespace dcp {

std::string SurrogateEscape(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    size_t take = 0;
    for (size_t n = 1; n <= std::min<size_t>(4, path.size()) && take == 0; ++n) {
      if (IsWtf8(path.substr(0, n))) take = n;
    }
    if (take > 0) {
      out += path.substr(0, take);
      path.remove_prefix(take);
      continue;
    }
    uint32_t code = 0xdc00 + static_cast<unsigned char>(path[0]);
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
    path.remove_prefix(1);
  }
  return out;
}

}  // namespace dcp
