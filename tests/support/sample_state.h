// State dicts for tests: small, nested, a different one for every number.
#ifndef DCP_TESTS_SUPPORT_SAMPLE_STATE_H_
#define DCP_TESTS_SUPPORT_SAMPLE_STATE_H_

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "value/value.h"

namespace dcp {

// Row-major, with bytes that depend on `seed` and place, so that no two parts look alike.
inline Tensor PatternTensor(DType dtype, const Shape& shape, uint64_t seed) {
  Tensor tensor = *Tensor::Allocate(dtype, shape);
  size_t size = static_cast<size_t>(tensor.num_bytes());
  for (size_t i = 0; i < size; ++i) {
    uint64_t mixed = (i + 1) * 0x9e3779b97f4a7c15ull + seed * 0xd1342543de82ef95ull;
    tensor.data[i] = static_cast<std::byte>((mixed >> 29) & 0x3f);  // no NaNs, small numbers
  }
  return tensor;
}

inline ValuePtr DictOf(std::vector<std::pair<std::string, ValuePtr>> entries) {
  std::vector<std::pair<ValuePtr, ValuePtr>> pairs;
  for (auto& [key, value] : entries) pairs.emplace_back(Value::String(key), std::move(value));
  return Value::Dict(std::move(pairs));
}

// Nested; seven names when flat. `rows` scales the large tensor, of 1 KiB a row.
inline ValuePtr SampleState(int64_t number, int64_t rows = 40) {
  uint64_t seed = static_cast<uint64_t>(number);
  ValuePtr model = DictOf({
      {"weight", Value::Of(PatternTensor(DType::kFloat32, {rows, 256}, seed))},
      {"bias", Value::Of(PatternTensor(DType::kBFloat16, {17}, seed + 1))},
  });
  ValuePtr slot = DictOf({{"exp_avg", Value::Of(PatternTensor(DType::kFloat64, {3, 5}, seed + 2))},
                          {"step", Value::Of(PatternTensor(DType::kInt64, {}, seed + 3))}});
  ValuePtr optimizer = DictOf(
      {{"state", Value::Sequence(ValueKind::kList, {std::move(slot)})},
       {"betas", Value::Sequence(ValueKind::kTuple, {Value::Float(0.9), Value::Float(0.999)})}});
  return DictOf({{"model", std::move(model)},
                 {"optimizer", std::move(optimizer)},
                 {"number", Value::Int(number)},
                 {"name", Value::String("run " + std::to_string(number))}});
}

// The same names and shapes, with zeros and other objects: to be loaded into.
inline ValuePtr BlankState(int64_t rows = 40) {
  ValuePtr state = SampleState(-1, rows);
  std::vector<const Value*> todo{state.get()};
  while (!todo.empty()) {
    const Value* value = todo.back();
    todo.pop_back();
    if (value->kind == ValueKind::kTensor) {
      std::memset(value->tensor.data, 0, static_cast<size_t>(value->tensor.num_bytes()));
    }
    for (const ValuePtr& item : value->items) todo.push_back(item.get());
    for (const auto& [key, entry] : value->entries) todo.push_back(entry.get());
  }
  return state;
}

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_SAMPLE_STATE_H_
