#include "cli/slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace dcp::cli {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t at = text.find(separator);
    parts.push_back(Trim(text.substr(0, at)));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<int64_t> Number(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A bound of a range, negative from the end, moved into [0, size].
bool Bound(std::string_view text, int64_t size, int64_t missing, int64_t* out) {
  if (text.empty()) {
    *out = missing;
    return true;
  }
  std::optional<int64_t> value = Number(text);
  if (!value) return false;
  *out =
      std::clamp<int64_t>(*value < 0 ? std::max<int64_t>(*value, -size) + size : *value, 0, size);
  return true;
}

bool AddDimension(std::string_view part, int64_t size, Slice* out, std::string* error) {
  std::vector<std::string_view> numbers = Split(part, ':');
  if (numbers.size() == 1) {
    std::optional<int64_t> index = Number(part);
    if (!index) {
      *error = fmt::format("\"{}\" is neither an index nor start:stop:step", part);
      return false;
    }
    if (*index >= size || *index < -size) {
      *error = fmt::format("index {} is outside a dimension of {}", *index, size);
      return false;
    }
    out->offsets.push_back(*index < 0 ? *index + size : *index);
    out->steps.push_back(1);
    out->sizes.push_back(1);
    return true;
  }
  int64_t start = 0, stop = 0, step = 1;
  if (numbers.size() > 3 || !Bound(numbers[0], size, 0, &start) ||
      !Bound(numbers[1], size, size, &stop)) {
    *error = fmt::format("\"{}\" is not start:stop:step", part);
    return false;
  }
  if (numbers.size() == 3 && !numbers[2].empty()) {
    std::optional<int64_t> value = Number(numbers[2]);
    if (!value || *value <= 0) {
      *error = fmt::format("\"{}\": the step must be a positive number", part);
      return false;
    }
    step = *value;
  }
  int64_t count = stop > start ? (stop - start - 1) / step + 1 : 0;
  out->offsets.push_back(count == 0 ? 0 : start);
  out->steps.push_back(count <= 1 ? 1 : step);
  out->sizes.push_back(count);
  out->shape.push_back(count);
  return true;
}

}  // namespace

bool ParseSlice(std::string_view text, std::span<const int64_t> shape, Slice* out,
                std::string* error) {
  *out = Slice();
  text = Trim(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = Trim(text.substr(1, text.size() - 2));
  }
  std::vector<std::string_view> parts;
  if (!text.empty()) parts = Split(text, ',');
  size_t given = parts.size() - static_cast<size_t>(std::count(parts.begin(), parts.end(), "..."));
  if (parts.size() - given > 1) {
    *error = "\"...\" may be given once";
    return false;
  }
  if (given > shape.size()) {
    *error = fmt::format("{} dimensions given, the tensor has {}", given, shape.size());
    return false;
  }
  if (given == parts.size()) parts.push_back("...");
  for (std::string_view part : parts) {
    if (part != "...") {
      if (!AddDimension(part, shape[out->sizes.size()], out, error)) return false;
      continue;
    }
    for (size_t i = 0; i < shape.size() - given; ++i) {
      AddDimension(":", shape[out->sizes.size()], out, error);
    }
  }
  return true;
}

}  // namespace dcp::cli
