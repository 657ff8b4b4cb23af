#include "cli/tensor_text.h"

#include <dcp.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "cli/checkpoint.h"
#include "cli/text.h"
#include "cli/value_json.h"

namespace dcp::cli {
namespace {

template <typename T>
T At(const void* data, uint64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
std::string ComplexText(const void* data, uint64_t index) {
  return fmt::format("{}{:+}j", At<T>(data, index * 2), At<T>(data, index * 2 + 1));
}

std::string ElementText(int32_t dtype, const void* data, uint64_t index) {
  switch (PrintedDtype(dtype)) {
    case DCP_FLOAT32:
      return fmt::format("{}", At<float>(data, index));
    case DCP_FLOAT64:
      return fmt::format("{}", At<double>(data, index));
    case DCP_INT64:
      return fmt::format("{}", At<int64_t>(data, index));
    case DCP_UINT64:
      return fmt::format("{}", At<uint64_t>(data, index));
    case DCP_BOOL:
      return At<uint8_t>(data, index) != 0 ? "True" : "False";
    case DCP_COMPLEX64:
      return ComplexText<float>(data, index);
    case DCP_COMPLEX128:
      return ComplexText<double>(data, index);
    default: {
      size_t size = static_cast<size_t>(dcp_dtype_size(dtype));
      return "0x" + Hex(std::string_view(static_cast<const char*>(data) + index * size, size));
    }
  }
}

Json ElementJson(int32_t dtype, const void* data, uint64_t index) {
  switch (PrintedDtype(dtype)) {
    case DCP_FLOAT32:
      return NumberJson(At<float>(data, index));
    case DCP_FLOAT64:
      return NumberJson(At<double>(data, index));
    case DCP_INT64:
      return At<int64_t>(data, index);
    case DCP_UINT64:
      return At<uint64_t>(data, index);
    case DCP_BOOL:
      return At<uint8_t>(data, index) != 0;
    case DCP_COMPLEX64:
      return ComplexJson(At<float>(data, index * 2), At<float>(data, index * 2 + 1));
    case DCP_COMPLEX128:
      return ComplexJson(At<double>(data, index * 2), At<double>(data, index * 2 + 1));
    default:
      return ElementText(dtype, data, index);
  }
}

}  // namespace

int32_t PrintedDtype(int32_t dtype) {
  switch (dtype) {
    case DCP_FLOAT16:
    case DCP_BFLOAT16:
    case DCP_FLOAT32:
    case DCP_FLOAT8_E4M3FN:
    case DCP_FLOAT8_E4M3FNUZ:
    case DCP_FLOAT8_E5M2:
    case DCP_FLOAT8_E5M2FNUZ:
    case DCP_FLOAT8_E8M0FNU:
      return DCP_FLOAT32;
    case DCP_INT8:
    case DCP_INT16:
    case DCP_INT32:
    case DCP_INT64:
    case DCP_UINT8:
    case DCP_UINT16:
    case DCP_UINT32:
      return DCP_INT64;
    case DCP_COMPLEX32:
    case DCP_COMPLEX64:
      return DCP_COMPLEX64;
    default:
      return dtype;
  }
}

std::string TensorText(int32_t dtype, std::span<const int64_t> shape, const void* data) {
  uint64_t total = ElementCount(shape);
  if (shape.empty()) return ElementText(dtype, data, 0);
  if (total == 0) return std::string(shape.size(), '[') + std::string(shape.size(), ']');
  std::vector<std::string> cells(total);
  size_t width = 0;
  for (uint64_t i = 0; i < total; ++i) {
    cells[i] = ElementText(dtype, data, i);
    width = std::max(width, cells[i].size());
  }
  std::string text(shape.size(), '[');
  for (uint64_t i = 0; i < total; ++i) {
    text += fmt::format("{:>{}}", cells[i], width);
    size_t closed = 0;  // brackets that end after this element
    uint64_t block = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      block *= static_cast<uint64_t>(shape[d]);
      if ((i + 1) % block != 0) break;
      ++closed;
    }
    text += std::string(closed, ']');
    if (i + 1 == total) break;
    if (closed == 0) {
      text += ", ";
    } else {
      text += "," + std::string(closed, '\n') + std::string(shape.size() - closed, ' ') +
              std::string(closed, '[');
    }
  }
  return text;
}

Json TensorJson(int32_t dtype, std::span<const int64_t> shape, const void* data) {
  uint64_t total = ElementCount(shape);
  std::vector<Json> level;
  for (uint64_t i = 0; i < total; ++i) level.push_back(ElementJson(dtype, data, i));
  for (size_t d = shape.size(); d-- > 0;) {
    // One array for each index of the dimensions before d.
    uint64_t arrays = std::min<uint64_t>(ElementCount(shape.first(d)), kMaxPrintedElements);
    uint64_t each = static_cast<uint64_t>(shape[d]);
    std::vector<Json> next;
    for (uint64_t i = 0; i < arrays; ++i) {
      Json array = Json::array();
      for (uint64_t j = i * each; j < (i + 1) * each && j < level.size(); ++j) {
        array.push_back(std::move(level[j]));
      }
      next.push_back(std::move(array));
    }
    level = std::move(next);
  }
  return level.empty() ? Json::array() : std::move(level[0]);
}

}  // namespace dcp::cli
