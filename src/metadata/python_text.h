// Text as Python's str() makes it, for the keys of mappings that become parts of flat names.
#ifndef DCP_METADATA_PYTHON_TEXT_H_
#define DCP_METADATA_PYTHON_TEXT_H_

#include <string>
#include <string_view>

#include "value/value.h"

namespace dcp {

std::string PythonFloatText(double value);  // "1.0", "1e-05", "inf", "nan"
// `twos_complement` as in Value::text of kInt. kLimit above Python's own 4300 digits.
Result<std::string> PythonIntText(std::string_view twos_complement);
// Strings, integers, floats, bools and None; kInvalidArgument, naming the kind, for other keys.
Result<std::string> KeyText(const Value& key);

}  // namespace dcp

#endif  // DCP_METADATA_PYTHON_TEXT_H_
