// JSON as dcpctl prints it (docs/dcpctl.md): keys in a fixed order.
#ifndef DCP_CLI_JSON_H_
#define DCP_CLI_JSON_H_

#include <nlohmann/json.hpp>
#include <string_view>

namespace dcp::cli {

using Json = nlohmann::ordered_json;

inline constexpr int kJsonSchema = 1;

// Sets object["name"]; bytes that are not UTF-8 are replaced there, and object["name_hex"] then
// has them all.
void SetName(Json& object, std::string_view key, std::string_view bytes);

// `document` with two spaces of indentation and a newline, to standard output.
void PrintJson(const Json& document);

}  // namespace dcp::cli

#endif  // DCP_CLI_JSON_H_
