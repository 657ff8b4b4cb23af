#include "cli/json.h"

#include <cstdio>
#include <string>

#include "cli/text.h"

namespace dcp::cli {

void SetName(Json& object, std::string_view key, std::string_view bytes) {
  object[std::string(key)] = std::string(bytes);
  if (!IsUtf8(bytes)) object[std::string(key) + "_hex"] = Hex(bytes);
}

void PrintJson(const Json& document) {
  std::string text = document.dump(2, ' ', false, Json::error_handler_t::replace);
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace dcp::cli
