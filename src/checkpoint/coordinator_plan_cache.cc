#include <algorithm>

#include "checkpoint/commit.h"
#include "checkpoint/plan_cache.h"
#include "checkpoint/plan_cache_digests.h"
#include "checkpoint/plan_wire.h"
#include "value/names.h"

namespace dcp {

void CoordinatorPlanCache::Begin(size_t ranks, std::string_view steering) {
  if (ranks != ranks_.size() || steering != steering_) Forget();
  steering_ = steering;
  ranks_.resize(ranks);
  for (Rank& rank : ranks_) {
    rank.same_plan = rank.same_assignment = rank.same_placement = false;
    rank.storage_data.clear();
  }
  anew_ = false;
  patched_ = false;
}

void CoordinatorPlanCache::Forget() {
  steering_.clear();
  ranks_.clear();
  metadata_ = Metadata();
  crc32_ = {};
  image_.reset();
}

Status CoordinatorPlanCache::Hear(uint32_t number, std::string_view message) {
  DCP_ASSIGN_OR_RETURN(const ToldPlan told, DecodeToldPlan(message));
  Rank& rank = ranks_[number];
  rank.storage_data = told.storage_data;
  if (told.key) {
    rank.same_plan = rank.key && rank.key == told.key;
    return Status::Ok();
  }
  rank.key.reset();
  rank.whole = told.plan;
  DCP_ASSIGN_OR_RETURN(rank.plan, Sha256(AsBytes(rank.whole)));
  anew_ = true;
  return Status::Ok();
}

std::vector<uint32_t> CoordinatorPlanCache::Unknown() const {
  std::vector<uint32_t> unknown;
  for (uint32_t rank = 0; rank < ranks_.size(); ++rank) {
    // A plan that came whole has no key yet.
    const bool told_whole = !ranks_[rank].key && !ranks_[rank].whole.empty();
    if (!ranks_[rank].same_plan && !told_whole) unknown.push_back(rank);
  }
  return unknown;
}

// Where the items of a rank lay is where they lie: the same ones in the same order.
void CoordinatorPlanCache::CarryOver(const Metadata& from,
                                     const std::vector<GlobalSavePlan::Slot>& slots, Rank* to) {
  for (size_t i = 0; i < slots.size(); ++i) {
    metadata_.entries[to->slots[i].entry].locations[to->slots[i].chunk] =
        from.entries[slots[i].entry].locations[slots[i].chunk];
  }
}

Status CoordinatorPlanCache::Plan(const GlobalPlanOptions& options) {
  for (Rank& rank : ranks_) rank.same_assignment = rank.same_plan;
  if (!anew_) return Status::Ok();
  PlanReceiver receiver;
  for (uint32_t number = 0; number < ranks_.size(); ++number) {
    Result<std::string> added = receiver.Add(ranks_[number].whole);
    if (!added.ok()) return added.status().WithContext(fmt::format("rank {}", number));
  }
  DCP_ASSIGN_OR_RETURN(MergedPlan merged, receiver.Finish(options));
  const Metadata last = std::exchange(metadata_, std::move(merged.metadata));
  for (uint32_t number = 0; number < ranks_.size(); ++number) {
    Rank& rank = ranks_[number];
    rank.sources = std::move(merged.items[number]);
    DCP_ASSIGN_OR_RETURN(const Digest assignment, AssignmentDigest(rank.sources));
    rank.same_assignment = rank.same_plan && assignment == rank.assignment;
    rank.assignment = assignment;
    const auto slots = std::exchange(rank.slots, std::move(merged.slots[number]));
    if (rank.same_assignment) CarryOver(last, slots, &rank);
  }
  NumberLocations();
  image_.reset();
  return Status::Ok();
}

void CoordinatorPlanCache::NumberLocations() {
  std::vector<uint32_t> first;
  uint32_t count = 0;
  first.reserve(metadata_.entries.size());
  for (const Entry& entry : metadata_.entries) {
    first.push_back(count);
    count += static_cast<uint32_t>(entry.chunk_count());
  }
  crc32_.assign(count, 0);
  for (Rank& rank : ranks_) {
    rank.numbers.clear();
    rank.numbers.reserve(rank.slots.size());
    for (const GlobalSavePlan::Slot slot : rank.slots) {
      rank.numbers.push_back(first[slot.entry] + slot.chunk);
    }
  }
}

std::string CoordinatorPlanCache::Tell(uint32_t number, std::string_view save_id,
                                       std::string_view storage_data) const {
  const Rank& rank = ranks_[number];
  if (rank.same_assignment) {
    auto same = EncodeSameAssignment(*rank.key, save_id, storage_data);
    if (same) return *std::move(same);
  }
  Assignment assignment;
  assignment.save_id = save_id;
  assignment.storage_data = storage_data;
  assignment.sources = rank.sources;
  return EncodeAssignment(assignment);
}

Status CoordinatorPlanCache::HearOutcome(uint32_t number, std::string_view message,
                                         std::string_view save_id, uint64_t generation) {
  Rank& rank = ranks_[number];
  DCP_ASSIGN_OR_RETURN(const std::optional<ToldPlacement> told, DecodeToldPlacement(message));
  if (!told) {
    DCP_ASSIGN_OR_RETURN(OutcomeMessage whole, DecodeOutcomeMessage(message));
    return FillPlacement(&rank, number, std::move(whole), save_id, generation);
  }
  if (told->save_id != save_id) {
    return Error(Code::kInternal, "its outcome belongs to the save {}, this is {}", told->save_id,
                 save_id);
  }
  if (!rank.same_assignment || !std::equal(told->key.begin(), told->key.end(), rank.key->begin())) {
    return MalformedMessage("an outcome that the coordinator does not remember");
  }
  const size_t items = told->crc32.size() / sizeof(uint32_t);
  if (items != rank.numbers.size()) {
    return Error(Code::kInternal, "it wrote {} items of {}", items, rank.numbers.size());
  }
  const std::byte* at = AsBytes(told->crc32).data();
  for (const uint32_t location : rank.numbers) {
    crc32_[location] = LoadLe<uint32_t>(at);
    at += sizeof(uint32_t);
  }
  rank.same_placement = true;
  return Status::Ok();
}

Status CoordinatorPlanCache::FillPlacement(Rank* rank, uint32_t number, OutcomeMessage message,
                                           std::string_view save_id, uint64_t generation) {
  WriteOutcome& outcome = message.outcome;
  if (message.save_id != save_id) {
    return Error(Code::kInternal, "its outcome belongs to the save {}, this is {}",
                 PrintableName(message.save_id), save_id);
  }
  if (outcome.items.size() != rank->slots.size()) {
    return Error(Code::kInternal, "it wrote {} items of {}", outcome.items.size(),
                 rank->slots.size());
  }
  rank->files.clear();
  for (const std::string& file : outcome.files) {
    DataFile data;
    if (!ParseDataFileName(file, &data) || data.rank != static_cast<int32_t>(number) ||
        data.generation != generation) {
      return Error(Code::kInternal, "it wrote a file '{}', which is not its to write",
                   PrintableName(file));
    }
    rank->files.push_back(data.n);
  }
  DCP_ASSIGN_OR_RETURN(rank->placement, PlacementDigest(outcome));
  rank->file_of.clear();
  for (size_t i = 0; i < outcome.items.size(); ++i) {
    const WrittenItem& item = outcome.items[i];
    const GlobalSavePlan::Slot slot = rank->slots[i];
    Location& location = metadata_.entries[slot.entry].locations[slot.chunk];
    location.offset = item.offset;
    location.length = item.length;
    rank->file_of.push_back(item.file);
    crc32_[rank->numbers[i]] = item.crc32;
  }
  return Status::Ok();
}

std::vector<std::string> CoordinatorPlanCache::FileNames(uint64_t generation) const {
  std::vector<std::string> names;
  for (uint32_t number = 0; number < ranks_.size(); ++number) {
    for (const uint64_t n : ranks_[number].files) {
      names.push_back(DataFileName(static_cast<int32_t>(number), n, generation));
    }
  }
  return names;
}

Result<const MetadataImage*> CoordinatorPlanCache::Finish(const Commit& commit) {
  std::vector<std::string> files = FileNames(commit.generation);
  const bool same_places = std::all_of(ranks_.begin(), ranks_.end(),
                                       [](const Rank& rank) { return rank.same_placement; });
  patched_ = image_ && same_places &&
             image_->Patch({crc32_, files, commit.checkpoint_id, commit.save_id}, commit.workers);
  if (patched_) return &*image_;
  image_.reset();
  metadata_.files = std::move(files);
  metadata_.transform_sets.assign(1, {});
  if (!commit.transforms.empty()) metadata_.transform_sets.push_back(commit.transforms);
  const auto transforms = static_cast<uint32_t>(metadata_.transform_sets.size() - 1);
  uint32_t first_file = 0;
  for (const Rank& rank : ranks_) {
    for (size_t i = 0; i < rank.slots.size(); ++i) {
      Location& location = metadata_.entries[rank.slots[i].entry].locations[rank.slots[i].chunk];
      location.file = first_file + rank.file_of[i];
      location.transforms = transforms;
      location.crc32 = crc32_[rank.numbers[i]];
      location.has_crc32 = true;
    }
    first_file += static_cast<uint32_t>(rank.files.size());
  }
  metadata_.version = commit.version;
  metadata_.storage_meta.emplace();
  metadata_.storage_meta->checkpoint_id = commit.checkpoint_id;
  metadata_.storage_meta->save_id = commit.save_id;
  DCP_ASSIGN_OR_RETURN(image_, MetadataImage::Encode(metadata_, commit.dialect));
  return &*image_;
}

Status CoordinatorPlanCache::Committed() {
  for (Rank& rank : ranks_) {
    if (rank.same_assignment && rank.same_placement) continue;
    DCP_ASSIGN_OR_RETURN(rank.key, MakePlanKey(rank.plan, rank.assignment, rank.placement));
  }
  return Status::Ok();
}

}  // namespace dcp
