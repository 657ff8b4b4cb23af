// Saving and looking, for the tests in this folder.
#ifndef DCP_TESTS_FAULT_SAVES_H_
#define DCP_TESTS_FAULT_SAVES_H_

#include <memory>
#include <optional>
#include <string>

#include "catalog/checkpoint.h"
#include "checkpoint/save.h"
#include "storage/store.h"
#include "support/sample_state.h"

namespace dcp {

// Saves SampleState(number) as one rank.
inline Result<SaveResult> SaveNumber(Store& store, int64_t number, const SaveOptions& options = {},
                                     int64_t rows = 40) {
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  return Save(store, *comm, *SampleState(number, rows), options, Engine());
}

// What a reader sees: the number of the one whole, undamaged SampleState there; nothing when
// there is no checkpoint; an error for anything else.
inline Result<std::optional<int64_t>> NumberIn(std::shared_ptr<Store> store, int64_t rows = 40) {
  auto opened = Checkpoint::Open(std::move(store), OpenOptions(), std::make_shared<Engine>());
  if (!opened.ok() && opened.status().code() == Code::kNotFound) return std::optional<int64_t>();
  if (!opened.ok()) return opened.status();
  DCP_ASSIGN_OR_RETURN(VerifySummary verified, (*opened)->Verify({}, CancelToken()));
  if (!verified.damage.empty()) return verified.damage[0].status;
  DCP_ASSIGN_OR_RETURN(ValuePtr all, (*opened)->ReadAll(true));
  const ValuePtr* entry = all->Find("number");
  int64_t number;
  if (entry == nullptr || !(*entry)->ToInt64(&number)) {
    return Status(Code::kCorrupt, "there is no number");
  }
  if (!Equal(*all, *SampleState(number, rows))) {
    return Error(Code::kCorrupt, "a mix: not all of it is of save {}", number);
  }
  return std::optional<int64_t>(number);
}

}  // namespace dcp

#endif  // DCP_TESTS_FAULT_SAVES_H_
