// What a rank and the coordinator remember of the last save of a family of checkpoints, so that the
// next one of the same layout takes few bytes and little work: upstream's plan caching, with the
// results of the writes and `.metadata` as well.
//
// Both sides keep a key of what they agreed on: the rank's plan (names, kinds, dtypes, properties,
// shapes, boxes, paths), which of its items it was to write, and where they came to lie. A rank
// whose plan is that of its key sends the key; a coordinator that has the same key under that rank
// knows all three. Any other rank's plan comes whole, or is asked for in one more round: a rank or
// a coordinator that was restarted, or that never heard how a save ended, has no such key. Keys are
// made when a save is committed, by each side of what it has itself seen.
#ifndef DCP_CHECKPOINT_PLAN_CACHE_H_
#define DCP_CHECKPOINT_PLAN_CACHE_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "checkpoint/plan_cache_wire.h"
#include "checkpoint/wire.h"
#include "metadata/image.h"
#include "planner/save_planner.h"

namespace dcp {

// Of one rank, for one family of checkpoints. The calls of a save, in this order: Tell; TellWhole,
// if asked; Same or Assigned; TellOutcome; Committed, or nothing when it failed or its end was not
// heard. One thread at a time.
class RankPlanCache {
 public:
  // What to tell the coordinator of `plan`. kUnsupported without SHA-256.
  Result<std::string> Tell(const SavePlan& plan);
  std::string TellWhole() const { return EncodeWholePlan(whole_, storage_data_); }

  // ToldKind::kSame: the positions in its plan of what it is to write. kCorrupt when the message is
  // not about what this rank remembers.
  Result<std::vector<uint32_t>> Same(const ToldAssignment& told);
  // An assignment that came whole.
  Status Assigned(const std::vector<uint32_t>& sources);

  Result<std::string> TellOutcome(const OutcomeMessage& outcome);
  Status Committed();

 private:
  struct Agreed {
    PlanKey key;
    Digest plan;
    Digest assignment;
    Digest placement;
    std::vector<uint32_t> sources;
  };
  std::optional<Agreed> last_;
  // Of this save.
  std::string whole_;  // EncodePlan without storage_data
  std::string storage_data_;
  bool same_ = false;  // the assignment is the last one
  Agreed now_;
};

// Of the coordinator. The calls of a save: Begin; Hear for each rank; if Unknown() is not empty,
// EncodeAsk to all ranks and Hear once more for those, after which there is none; Plan; Tell for
// each rank; HearOutcome for each rank; Finish; Committed. When anything fails: Forget. One thread
// at a time.
class CoordinatorPlanCache {
 public:
  // `steering`: all of the options that a global plan and its metadata depend on, as the caller
  // writes them; when they are not the last save's, plans are merged and metadata made anew.
  void Begin(size_t ranks, std::string_view steering);
  // kCorrupt for a message that no RankPlanCache made.
  Status Hear(uint32_t rank, std::string_view message);
  // Ranks that are to tell their plan whole.
  std::vector<uint32_t> Unknown() const;

  // Does nothing while every rank's plan is the last one. Else errors as PlanReceiver's.
  Status Plan(const GlobalPlanOptions& options);
  bool planned_anew() const { return anew_; }
  std::string_view storage_data(uint32_t rank) const { return ranks_[rank].storage_data; }

  // What rank `rank` is told.
  std::string Tell(uint32_t rank, std::string_view save_id, std::string_view storage_data) const;

  // kInternal or kCorrupt, as for the library's own writer: of another save, of other items, or of
  // files that are not this rank's.
  Status HearOutcome(uint32_t rank, std::string_view message, std::string_view save_id,
                     uint64_t generation);

  struct Commit {
    std::string checkpoint_id;
    std::string save_id;
    uint64_t generation = 0;              // of the data files
    std::vector<std::string> transforms;  // descriptors
    std::string version;
    Dialect dialect = Dialect::kDefault;
    size_t workers = 1;
  };
  // The file, valid until the next save begins. Written over where positions stay, else made anew.
  Result<const MetadataImage*> Finish(const Commit& commit);
  bool patched() const { return patched_; }  // by the last Finish

  Status Committed();
  void Forget();

 private:
  struct Rank {
    std::string whole;  // EncodePlan without storage_data; empty: unknown
    std::string storage_data;
    std::optional<PlanKey> key;  // of the last save
    bool same_plan = false;
    bool same_assignment = false;
    bool same_placement = false;
    Digest plan;
    Digest assignment;
    Digest placement;
    std::vector<uint32_t> sources;
    std::vector<GlobalSavePlan::Slot> slots;
    std::vector<uint64_t> files;    // n of each of its data files
    std::vector<uint32_t> file_of;  // of each item, among these
    std::vector<uint32_t> numbers;  // of each item's location, counted over all entries
  };

  void NumberLocations();
  void CarryOver(const Metadata& from, const std::vector<GlobalSavePlan::Slot>& slots, Rank* to);
  Status FillPlacement(Rank* rank, uint32_t number, OutcomeMessage message,
                       std::string_view save_id, uint64_t generation);
  std::vector<std::string> FileNames(uint64_t generation) const;

  std::string steering_;
  std::vector<Rank> ranks_;
  Metadata metadata_;
  std::vector<uint32_t> crc32_;  // by number of the location
  std::optional<MetadataImage> image_;
  bool anew_ = true;
  bool patched_ = false;
};

// SaveOptions::plan_cache: what one rank keeps of one family of checkpoints. Any rank may be the
// coordinator. One save at a time; which thread it runs on does not matter.
class PlanCache {
 public:
  // kInvalidArgument while another save has it. Each success needs a Leave.
  Status Take();
  void Leave() { taken_ = false; }

  // For the save that has it.
  RankPlanCache& rank() { return rank_; }
  CoordinatorPlanCache& coordinator() { return coordinator_; }

 private:
  std::atomic<bool> taken_{false};
  RankPlanCache rank_;
  CoordinatorPlanCache coordinator_;
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_PLAN_CACHE_H_
