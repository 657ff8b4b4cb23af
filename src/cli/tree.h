// Names as a tree, by the paths of the nested state dict they were saved from.
#ifndef DCP_CLI_TREE_H_
#define DCP_CLI_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cli/checkpoint.h"

namespace dcp::cli {

struct PathPart {
  bool is_index = false;
  int64_t index = 0;
  std::string key;
};

Failure ReadPath(const Checkpoint& checkpoint, const Entry& entry, std::vector<PathPart>* out);
Json PathJson(const std::vector<PathPart>& path);

inline constexpr size_t kNoEntry = static_cast<size_t>(-1);

struct TreeRow {
  std::string branch;  // lines in front of the label
  std::string below;   // lines in front of what follows under it
  std::string label;   // escaped
  size_t entry;        // index into the paths, or kNoEntry for a row that only has children
};

// Rows from the top down; children in the order of their first entry. Paths deeper than 48 parts
// are shown as one label from there on.
std::vector<TreeRow> LayOutTree(const std::vector<std::vector<PathPart>>& paths);

}  // namespace dcp::cli

#endif  // DCP_CLI_TREE_H_
