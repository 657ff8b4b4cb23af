#include "metadata/path.h"

namespace dcp {

ValuePtr PathToValue(const Path& path) {
  std::vector<ValuePtr> elements;
  elements.reserve(path.size());
  for (const PathElement& element : path) {
    const auto* key = std::get_if<std::string>(&element);
    elements.push_back(key != nullptr ? Value::String(*key)
                                      : Value::Int(std::get<int64_t>(element)));
  }
  return Value::Sequence(ValueKind::kTuple, std::move(elements));
}

}  // namespace dcp
