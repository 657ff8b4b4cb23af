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

Result<Path> PathFromValue(const Value& value) {
  Path path;
  bool sound = value.kind == ValueKind::kTuple;
  for (const ValuePtr& item : value.items) {
    int64_t index = 0;
    if (item->kind == ValueKind::kString) {
      path.emplace_back(item->text);
    } else if (item->kind == ValueKind::kInt && item->ToInt64(&index)) {
      path.emplace_back(index);
    } else {
      sound = false;
    }
  }
  if (sound) return path;
  return Status(Code::kInvalidArgument, "a path is a tuple of strings and integers");
}

}  // namespace dcp
