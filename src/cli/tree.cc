#include "cli/tree.h"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>

#include "cli/text.h"

namespace dcp::cli {
namespace {

constexpr size_t kMaxDepth = 48;

struct Node {
  std::string label;
  size_t entry = kNoEntry;
  std::vector<size_t> children;
  std::unordered_map<std::string, size_t> by_label;
};

std::string Label(const PathPart& part) {
  if (part.is_index) return fmt::format("[{}]", part.index);
  return part.key.empty() ? "''" : Escape(part.key);
}

std::vector<std::string> Labels(const std::vector<PathPart>& path) {
  std::vector<std::string> labels;
  for (const PathPart& part : path) {
    if (labels.size() < kMaxDepth) {
      labels.push_back(Label(part));
    } else {
      labels.back() += "." + Label(part);
    }
  }
  return labels;
}

// Node 0 is the root.
std::vector<Node> BuildTree(const std::vector<std::vector<PathPart>>& paths) {
  std::vector<Node> nodes(1);
  for (size_t entry = 0; entry < paths.size(); ++entry) {
    size_t at = 0;
    for (std::string& label : Labels(paths[entry])) {
      auto [found, added] = nodes[at].by_label.try_emplace(label, nodes.size());
      size_t next = found->second;
      if (added) {
        nodes[at].children.push_back(next);
        nodes.emplace_back().label = std::move(label);
      }
      at = next;
    }
    if (nodes[at].entry != kNoEntry || at == 0) {  // the same path twice, or an empty one
      nodes[at].children.push_back(nodes.size());
      nodes.emplace_back().label = "''";
      at = nodes.size() - 1;
    }
    nodes[at].entry = entry;
  }
  return nodes;
}

}  // namespace

Failure ReadPath(const Checkpoint& checkpoint, const Entry& entry, std::vector<PathPart>* out) {
  ValueHandle path;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_checkpoint_path(checkpoint.get(), entry.index, Out(path), error);
      })) {
    return failure;
  }
  for (size_t i = 0; i < dcp_value_count(path.get()); ++i) {
    ValueHandle part;
    if (Failure failure =
            Try([&](dcp_error** error) { return dcp_value_at(path.get(), i, Out(part), error); })) {
      return failure;
    }
    PathPart& added = out->emplace_back();
    added.is_index = dcp_value_kind_of(part.get()) == DCP_VALUE_INT;
    const char* text = nullptr;
    size_t size = 0;
    Failure failure = Try([&](dcp_error** error) {
      return added.is_index ? dcp_value_get_int(part.get(), &added.index, error)
                            : dcp_value_get_text(part.get(), &text, &size, error);
    });
    if (failure) return failure;
    if (!added.is_index) added.key.assign(text, size);
  }
  return Failure();
}

Json PathJson(const std::vector<PathPart>& path) {
  Json json = Json::array();
  for (const PathPart& part : path) {
    if (part.is_index) {
      json.push_back(part.index);
    } else if (IsUtf8(part.key)) {
      json.push_back(part.key);
    } else {
      json.push_back({{"$bytes", Hex(part.key)}});
    }
  }
  return json;
}

std::vector<TreeRow> LayOutTree(const std::vector<std::vector<PathPart>>& paths) {
  std::vector<Node> nodes = BuildTree(paths);
  std::vector<TreeRow> rows;
  struct Visit {
    size_t node;
    std::string branch;
    std::string below;
  };
  std::vector<Visit> stack;
  auto push_children = [&](const Node& node, const std::string& prefix) {
    for (size_t i = node.children.size(); i-- > 0;) {
      bool last = i + 1 == node.children.size();
      stack.push_back(
          {node.children[i], prefix + (last ? "└─ " : "├─ "), prefix + (last ? "   " : "│  ")});
    }
  };
  push_children(nodes[0], "");
  while (!stack.empty()) {
    Visit visit = std::move(stack.back());
    stack.pop_back();
    const Node& node = nodes[visit.node];
    rows.push_back({visit.branch, visit.below, node.label, node.entry});
    push_children(node, visit.below);
  }
  return rows;
}

}  // namespace dcp::cli
