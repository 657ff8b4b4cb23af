#include "planner/path_merge.h"

#include <algorithm>
#include <numeric>

namespace dcp {

uint32_t PathMerge::AddTable(NamedPaths paths) {
  Table table;
  table.ids.reserve(paths.size());
  ids_.Reserve(paths_.size() + paths.size());
  for (auto& path : paths) {
    const auto fresh = static_cast<uint32_t>(paths_.size());
    const uint32_t id = ids_.FindOrAdd(SeededHash(path.first), fresh, [&](uint32_t other) {
      return paths_[other].first == path.first;
    });
    if (id == fresh) paths_.push_back(std::move(path));
    table.ids.push_back(id);
  }
  tables_.push_back(std::move(table));
  return static_cast<uint32_t>(tables_.size() - 1);
}

NamedPaths PathMerge::Finish() {
  std::vector<uint32_t> order(tables_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return tables_[a].last_rank > tables_[b].last_rank; });
  std::vector<bool> taken(paths_.size(), false);
  NamedPaths merged;
  merged.reserve(paths_.size());
  for (uint32_t table : order) {
    for (uint32_t id : tables_[table].ids) {
      if (taken[id]) continue;
      taken[id] = true;
      merged.push_back(std::move(paths_[id]));
    }
  }
  return merged;
}

}  // namespace dcp
