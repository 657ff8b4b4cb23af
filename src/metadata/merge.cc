#include <algorithm>
#include <numeric>

#include "metadata/codec.h"
#include "metadata/id_table.h"
#include "metadata/transform_set.h"
#include "value/names.h"

namespace dcp {
namespace {

// Ids of one rank's tables in the merged ones.
struct Renumbered {
  std::vector<uint32_t> files;
  std::vector<uint32_t> transforms;
};

class Merger {
 public:
  Status Add(Metadata rank, size_t number) {
    Renumbered ids = Renumber(&rank);
    for (Entry& entry : rank.entries) {
      for (Location& location : entry.locations) {
        if (!location.missing()) location.file = ids.files[location.file];
        location.transforms = ids.transforms[location.transforms];
      }
      DCP_RETURN_IF_ERROR(AddEntry(std::move(entry), number));
    }
    if (rank.planner_data) AddPlannerData(std::move(*rank.planner_data));
    if (number == 0) {
      out_.storage_meta = std::move(rank.storage_meta);
      out_.version = std::move(rank.version);
      out_.checksummed = rank.checksummed;
      out_.merged = true;
    }
    out_.checksummed = out_.checksummed && rank.checksummed;
    for (const std::string& note : rank.notes) {
      out_.notes.push_back(fmt::format("rank {}: {}", number, note));
    }
    return Status::Ok();
  }

  Metadata Finish() {
    for (size_t i = 0; i < out_.entries.size(); ++i) {
      if (joined_[i]) DropRepeatedBoxes(&out_.entries[i]);
    }
    out_.BuildIndex();
    return std::move(out_);
  }

 private:
  Renumbered Renumber(Metadata* rank) {
    Renumbered ids;
    for (std::string& file : rank->files) {
      uint32_t fresh = static_cast<uint32_t>(out_.files.size());
      uint32_t id = files_.FindOrAdd(SeededHash(file), fresh,
                                     [&](uint32_t other) { return out_.files[other] == file; });
      if (id == fresh) out_.files.push_back(std::move(file));
      ids.files.push_back(id);
    }
    for (std::vector<std::string>& set : rank->transform_sets) {
      auto& sets = out_.transform_sets;
      uint32_t id = 0;
      if (!set.empty()) {
        uint32_t fresh = static_cast<uint32_t>(sets.size());
        id = transforms_.FindOrAdd(HashTransformSet(set), fresh,
                                   [&](uint32_t other) { return sets[other] == set; });
        if (id == fresh) sets.push_back(std::move(set));
      }
      ids.transforms.push_back(id);
    }
    return ids;
  }

  Status AddEntry(Entry entry, size_t rank) {
    uint32_t fresh = static_cast<uint32_t>(out_.entries.size());
    uint32_t id = names_.FindOrAdd(SeededHash(entry.name), fresh, [&](uint32_t other) {
      return out_.entries[other].name == entry.name;
    });
    if (id == fresh) {
      out_.entries.push_back(std::move(entry));
      joined_.push_back(false);
      return Status::Ok();
    }
    Entry& there = out_.entries[id];
    if (there.kind != entry.kind) {
      return Error(Code::kMismatch, "{} is a tensor in the file of one rank and an object in {}",
                   PrintableName(entry.name), RankFile(rank));
    }
    if (there.kind == EntryKind::kBytes) {
      if (there.locations.empty() || there.locations[0].missing()) {
        there.locations = std::move(entry.locations);
      }
      return Status::Ok();
    }
    if (there.size != entry.size) {
      return Error(Code::kMismatch, "{} has size {} in {} and {} in the files of ranks before it",
                   PrintableName(entry.name), ToString(entry.size), RankFile(rank),
                   ToString(there.size));
    }
    joined_[id] = true;
    there.boxes.insert(there.boxes.end(), entry.boxes.begin(), entry.boxes.end());
    there.locations.insert(there.locations.end(), entry.locations.begin(), entry.locations.end());
    return Status::Ok();
  }

  static std::string RankFile(size_t rank) { return fmt::format("__{}.metadata", rank); }

  // Keeps the first of equal boxes that has a location.
  static void DropRepeatedBoxes(Entry* entry) {
    size_t n = 2 * entry->ndim(), count = entry->chunk_count();
    auto box = [&](uint32_t i) { return Dims(entry->boxes).subspan(n * i, n); };
    auto less = [](Dims a, Dims b) {
      return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    };
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (less(box(a), box(b))) return true;
      if (less(box(b), box(a))) return false;
      bool missing_a = entry->locations[a].missing(), missing_b = entry->locations[b].missing();
      return missing_a != missing_b ? missing_b : a < b;
    });
    std::vector<bool> drop(count, false);
    for (size_t i = 1; i < count; ++i) {
      drop[order[i]] = !less(box(order[i - 1]), box(order[i]));
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      if (drop[i]) continue;
      std::copy_n(entry->boxes.begin() + static_cast<ptrdiff_t>(n * i), n,
                  entry->boxes.begin() + static_cast<ptrdiff_t>(n * kept));
      entry->locations[kept++] = entry->locations[i];
    }
    entry->boxes.resize(n * kept);
    entry->locations.resize(kept);
  }

  void AddPlannerData(std::vector<std::pair<std::string, Path>> data) {
    if (!out_.planner_data) out_.planner_data.emplace();
    auto& merged = *out_.planner_data;
    for (auto& item : data) {
      const std::string& name = item.first;
      uint32_t fresh = static_cast<uint32_t>(merged.size());
      uint32_t id = paths_.FindOrAdd(SeededHash(name), fresh,
                                     [&](uint32_t other) { return merged[other].first == name; });
      if (id == fresh) merged.push_back(std::move(item));
    }
  }

  Metadata out_;
  std::vector<bool> joined_;  // by entry: chunks of several ranks
  IdTable names_;
  IdTable files_;
  IdTable transforms_;
  IdTable paths_;
};

}  // namespace

Result<Metadata> MergeRankMetadata(std::vector<Metadata> ranks) {
  Merger merger;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    DCP_RETURN_IF_ERROR(merger.Add(std::move(ranks[rank]), rank));
  }
  return merger.Finish();
}

}  // namespace dcp
