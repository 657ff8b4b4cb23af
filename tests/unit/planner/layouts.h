// Layouts to plan with: grids, guillotine cuts, and brute force to compare with.
#ifndef DCP_TESTS_UNIT_PLANNER_LAYOUTS_H_
#define DCP_TESTS_UNIT_PLANNER_LAYOUTS_H_

#include <algorithm>
#include <random>
#include <vector>

#include "metadata/metadata.h"

namespace dcp {

struct OwnedBox {
  Shape offsets;
  Shape sizes;
  Box view() const { return {offsets, sizes}; }
  bool operator==(const OwnedBox&) const = default;
};

inline bool Overlap(const OwnedBox& a, const OwnedBox& b) {
  for (size_t d = 0; d < a.offsets.size(); ++d) {
    if (a.offsets[d] >= b.offsets[d] + b.sizes[d]) return false;
    if (b.offsets[d] >= a.offsets[d] + a.sizes[d]) return false;
  }
  return true;
}

inline bool Contains(const OwnedBox& box, const Shape& at) {
  for (size_t d = 0; d < at.size(); ++d) {
    if (at[d] < box.offsets[d] || at[d] >= box.offsets[d] + box.sizes[d]) return false;
  }
  return true;
}

inline bool HasElements(const OwnedBox& box) {
  return std::all_of(box.sizes.begin(), box.sizes.end(), [](int64_t size) { return size > 0; });
}

// A dense grid of parts[d] pieces in dimension d, as even as they can be.
inline std::vector<OwnedBox> Grid(const Shape& size, const Shape& parts) {
  std::vector<OwnedBox> out = {{{}, {}}};
  for (size_t d = 0; d < size.size(); ++d) {
    std::vector<OwnedBox> next;
    for (const OwnedBox& box : out) {
      for (int64_t p = 0; p < parts[d]; ++p) {
        OwnedBox cut = box;
        int64_t low = size[d] * p / parts[d], high = size[d] * (p + 1) / parts[d];
        cut.offsets.push_back(low);
        cut.sizes.push_back(high - low);
        next.push_back(std::move(cut));
      }
    }
    out.swap(next);
  }
  return out;
}

// Cuts the whole at random places, again and again.
inline std::vector<OwnedBox> RandomCuts(const Shape& size, size_t cuts, std::mt19937_64& random) {
  std::vector<OwnedBox> out = {{Shape(size.size(), 0), size}};
  for (size_t i = 0; i < cuts && !size.empty(); ++i) {
    size_t which = random() % out.size(), d = random() % size.size();
    if (out[which].sizes[d] < 2) continue;
    int64_t first = 1 + static_cast<int64_t>(random() % (out[which].sizes[d] - 1));
    OwnedBox second = out[which];
    second.offsets[d] += first;
    second.sizes[d] -= first;
    out[which].sizes[d] = first;
    out.push_back(std::move(second));
  }
  std::shuffle(out.begin(), out.end(), random);
  return out;
}

inline OwnedBox RandomBox(const Shape& size, std::mt19937_64& random, bool may_be_empty) {
  OwnedBox box;
  for (int64_t extent : size) {
    int64_t least = may_be_empty || extent == 0 ? 0 : 1;
    int64_t low = static_cast<int64_t>(random() % (extent - least + 1));
    int64_t room = extent - low - least;
    box.offsets.push_back(low);
    box.sizes.push_back(least + static_cast<int64_t>(random() % (room + 1)));
  }
  return box;
}

inline Entry TensorEntry(std::string name, Shape size, const std::vector<OwnedBox>& boxes) {
  Entry entry;
  entry.name = std::move(name);
  entry.kind = EntryKind::kTensor;
  entry.size = std::move(size);
  for (size_t i = 0; i < boxes.size(); ++i) {
    entry.boxes.insert(entry.boxes.end(), boxes[i].offsets.begin(), boxes[i].offsets.end());
    entry.boxes.insert(entry.boxes.end(), boxes[i].sizes.begin(), boxes[i].sizes.end());
    entry.locations.push_back({0, 0, i, 1});
  }
  return entry;
}

// Every index of a shape, for shapes of a few hundred elements.
inline std::vector<Shape> AllIndices(const Shape& size) {
  std::vector<Shape> out = {{}};
  for (int64_t extent : size) {
    std::vector<Shape> next;
    for (const Shape& at : out) {
      for (int64_t i = 0; i < extent; ++i) {
        next.push_back(at);
        next.back().push_back(i);
      }
    }
    out.swap(next);
  }
  return out;
}

}  // namespace dcp

#endif  // DCP_TESTS_UNIT_PLANNER_LAYOUTS_H_
