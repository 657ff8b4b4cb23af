// Values of objects as JSON (docs/dcpctl.md has the table).
#ifndef DCP_CLI_VALUE_JSON_H_
#define DCP_CLI_VALUE_JSON_H_

#include "cli/handles.h"
#include "cli/json.h"

namespace dcp::cli {

// What JSON lacks becomes an object of one key that starts with "$". DCP_LIMIT for values of more
// than a million parts or nested deeper than 200: parts may be shared, so a small file can hold a
// value that never ends when written out.
Failure ValueJson(const dcp_value* value, Json* out);

// Infinities and NaN as {"$float": "inf"}.
Json NumberJson(double real);
Json ComplexJson(double real, double imaginary);

}  // namespace dcp::cli

#endif  // DCP_CLI_VALUE_JSON_H_
