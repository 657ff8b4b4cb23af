// The planner data of all ranks as one: upstream's dict(ChainMap(*maps)).
#ifndef DCP_PLANNER_PATH_MERGE_H_
#define DCP_PLANNER_PATH_MERGE_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "metadata/id_table.h"
#include "metadata/metadata.h"

namespace dcp {

using NamedPaths = std::vector<std::pair<std::string, Path>>;

// Tables are added in the order of the ranks that first have them.
class PathMerge {
 public:
  // A table that ranks may share; returns its number.
  uint32_t AddTable(NamedPaths paths);
  // Rank `rank` has that table. Ranks come in ascending order.
  void Use(uint32_t table, uint32_t rank) { tables_[table].last_rank = rank; }
  // Names in the order of the last rank first; of a name's paths the first rank's.
  NamedPaths Finish();

 private:
  struct Table {
    std::vector<uint32_t> ids;
    uint32_t last_rank = 0;
  };
  std::deque<NamedPaths::value_type> paths_;  // by id
  IdTable ids_;                               // of names
  std::vector<Table> tables_;
};

}  // namespace dcp

#endif  // DCP_PLANNER_PATH_MERGE_H_
