// Who takes part in a load: a planner, who says what to read and where it goes, and a storage
// reader. The library has one of each; hosts bring their own through dcp.h. Upstream's LoadPlanner
// and StorageReader; the order of calls is upstream's:
//   every rank      reader.ReadMetadata, planner.SetUp, reader.SetUp, planner.CreateLocalPlan,
//                   reader.PrepareLocalPlan
//   coordinator     planner.CreateGlobalPlan, reader.PrepareGlobalPlan (where one plans globally)
//   every rank      planner.FinishPlan, reader.ReadData, which has planner.ResolveTensor,
//                   planner.CommitTensor and planner.LoadBytes called
#ifndef DCP_CHECKPOINT_LOAD_ROLES_H_
#define DCP_CHECKPOINT_LOAD_ROLES_H_

#include <functional>
#include <memory>
#include <vector>

#include "base/cancel.h"
#include "base/progress.h"
#include "planner/load_planner.h"
#include "reader/reader.h"
#include "value/value.h"

namespace dcp {

// Where in the group a load runs, and what it is to look at. The pointers outlive the load.
struct LoadSite {
  int32_t rank = 0;
  int32_t world_size = 1;
  bool is_coordinator = true;
  int64_t timeout_ms = -1;
  Progress* progress = nullptr;
  CancelToken cancel;
};

class LoadPlanner {
 public:
  virtual ~LoadPlanner() = default;
  // `metadata` and `targets` (what the state dict holds, by LoadTarget's names and parts) outlive
  // the load.
  virtual Status SetUp(const ValuePtr& state, const Metadata& metadata,
                       const std::vector<LoadTarget>& targets, bool is_coordinator) = 0;
  // `plan` is empty; `standard` gives what the library would plan, or why it would not.
  virtual Status CreateLocalPlan(const std::function<Result<LoadPlan>()>& standard,
                                 LoadPlan* plan) = 0;
  virtual bool plans_globally() const = 0;
  virtual Status CreateGlobalPlan(std::vector<LoadPlan>* plans) = 0;
  virtual Status FinishPlan(LoadPlan* plan) = 0;
  // True: ResolveTensor is asked for each tensor before it is read, and CommitTensor is called when
  // it has been. `found`: the part of the state dict it is for; without data when there is none.
  // The answer has the item's lengths.
  virtual bool resolves_tensors() const = 0;
  virtual Result<Tensor> ResolveTensor(const LoadPlan& plan, size_t item, const Tensor& found) = 0;
  virtual Status CommitTensor(const LoadPlan& plan, size_t item, const Tensor& tensor) = 0;
  // What was read for an item that is not a tensor. True: the planner has taken it; false: it goes
  // where the library puts it.
  virtual Result<bool> LoadBytes(const LoadPlan& plan, size_t item, const ValuePtr& value) = 0;
};

// What a rank is to read.
struct ReadRequest {
  std::shared_ptr<const Metadata> metadata;
  const LoadPlan* plan = nullptr;
  // Where ranks of this host share what they read; may be null.
  SharedPieces* shared = nullptr;
  // True: tensors come and go one by one, and no more of them are to be asked for at a time than
  // memory is there for.
  bool late = false;
  // Where an item's tensor goes: of the item's lengths, any strides. One thread at a time.
  std::function<Result<Tensor>(size_t item)> tensor;
  // It is there now. One thread at a time.
  std::function<Status(size_t item, const Tensor& tensor)> commit;
  // What was read for a bytes item. One thread at a time.
  std::function<Status(size_t item, ValuePtr value)> object;
};

class StorageReader {
 public:
  virtual ~StorageReader() = default;
  virtual Result<Metadata> ReadMetadata() = 0;
  virtual Status SetUp(const Metadata& metadata, const LoadSite& site) = 0;
  virtual Status PrepareLocalPlan(LoadPlan* plan) = 0;
  virtual bool plans_globally() const { return false; }
  virtual Status PrepareGlobalPlan(std::vector<LoadPlan>* /*plans*/) { return Status::Ok(); }
  // True: ReadRequest::shared is put to use.
  virtual bool shares_reads() const { return false; }
  virtual Result<ReadOutcome> ReadData(const ReadRequest& request) = 0;
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_LOAD_ROLES_H_
