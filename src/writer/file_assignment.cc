#include "writer/file_assignment.h"

#include <algorithm>
#include <queue>

namespace dcp {
namespace {

uint64_t Weight(const WriteJob& job) {
  return static_cast<uint64_t>(std::max(job.global_bytes, job.payload_bytes()));
}

}  // namespace

FileAssignment AssignFiles(std::span<const WriteJob> jobs, int32_t files, bool file_per_item) {
  const uint32_t count = static_cast<uint32_t>(jobs.size());
  FileAssignment assignment;
  assignment.order.reserve(count);
  if (file_per_item) {
    for (uint32_t i = 0; i < count; ++i) assignment.order.push_back(i);
    assignment.begins = assignment.order;
    assignment.begins.push_back(count);
    return assignment;
  }
  std::vector<uint32_t> objects;
  std::vector<uint32_t> tensors;
  for (uint32_t i = 0; i < count; ++i) {
    (jobs[i].holds_tensor() ? tensors : objects).push_back(i);
  }
  if (files == 1) {
    assignment.order = std::move(objects);
    assignment.order.insert(assignment.order.end(), tensors.begin(), tensors.end());
    assignment.begins = {0, count};
    return assignment;
  }
  std::vector<std::vector<uint32_t>> buckets(static_cast<size_t>(files));
  for (size_t i = 0; i < objects.size(); ++i) buckets[i % buckets.size()].push_back(objects[i]);
  std::stable_sort(tensors.begin(), tensors.end(),
                   [&](uint32_t a, uint32_t b) { return Weight(jobs[a]) > Weight(jobs[b]); });
  using Load = std::pair<uint64_t, uint32_t>;  // bytes, file: the least, of those the first
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (uint32_t i = 0; i < buckets.size(); ++i) loads.emplace(0, i);
  for (uint32_t job : tensors) {
    auto [bytes, file] = loads.top();
    loads.pop();
    buckets[file].push_back(job);
    loads.emplace(bytes + Weight(jobs[job]), file);
  }
  for (const std::vector<uint32_t>& bucket : buckets) {
    assignment.begins.push_back(static_cast<uint32_t>(assignment.order.size()));
    assignment.order.insert(assignment.order.end(), bucket.begin(), bucket.end());
  }
  assignment.begins.push_back(count);
  return assignment;
}

}  // namespace dcp
