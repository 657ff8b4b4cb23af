#include "catalog/near_names.h"

#include <algorithm>

namespace dcp {
namespace {

constexpr size_t kLongestName = 256;      // longer ones are not compared
constexpr size_t kMaxCells = 20'000'000;  // of all distance tables together

// Levenshtein distance, or `cap` + 1 when it is larger. Counts the cells it fills.
size_t Distance(std::string_view a, std::string_view b, size_t cap, size_t* cells) {
  size_t difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (difference > cap) return cap + 1;
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    size_t least = row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
      least = std::min(least, row[j]);
    }
    *cells += b.size();
    if (least > cap) return cap + 1;
  }
  return std::min(row[b.size()], cap + 1);
}

}  // namespace

std::vector<std::string_view> NearNames(const Metadata& metadata, std::string_view name,
                                        size_t limit) {
  std::vector<std::string_view> near;
  if (name.size() > kLongestName) return near;
  for (const Entry& entry : metadata.entries) {
    if (near.size() == limit) return near;
    bool below = !name.empty() && entry.name.size() > name.size() && entry.name.starts_with(name) &&
                 (entry.name[name.size()] == '.' || name.back() == '.');
    if (below) near.push_back(entry.name);
  }
  const size_t cap = std::max<size_t>(2, name.size() / 4);
  std::vector<std::pair<size_t, std::string_view>> found;
  size_t cells = 0;
  for (const Entry& entry : metadata.entries) {
    if (cells > kMaxCells) break;
    ++cells;
    if (entry.name.size() > kLongestName) continue;
    size_t distance = Distance(name, entry.name, cap, &cells);
    if (distance <= cap) found.emplace_back(distance, entry.name);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [distance, candidate] : found) {
    if (near.size() == limit) break;
    near.push_back(candidate);
  }
  return near;
}

}  // namespace dcp
