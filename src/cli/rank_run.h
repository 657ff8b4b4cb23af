// One rank of bench-ranks: its part of the tensors, and how long each phase of a save or load took
// it.
#ifndef DCP_CLI_RANK_RUN_H_
#define DCP_CLI_RANK_RUN_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/handles.h"

namespace dcp::cli {

using CommunicatorHandle = std::unique_ptr<dcp_communicator, Freer<dcp_communicator_free>>;
using StateDictHandle = std::unique_ptr<dcp_state_dict, Freer<dcp_state_dict_free>>;
using LoadReportHandle = std::unique_ptr<dcp_load_report, Freer<dcp_load_report_free>>;

// What all ranks hold together: `sharded` tensors cut along one dimension, `replicated` ones that
// each rank has whole. All float32, `rows` x `columns`; the values tell tensor, row and column.
struct RankLoad {
  int sharded = 0;
  int replicated = 0;
  int64_t rows = 0;
  int64_t columns = 0;
};

// A rank's tensors; the memory is this object's.
class RankState {
 public:
  // Cut along `dimension` (0 or 1), as evenly as whole rows or columns allow. `filled` with their
  // values, else with something else.
  RankState(const RankLoad& load, int rank, int ranks, int dimension, bool filled);

  Failure MakeState(StateDictHandle* out) const;
  bool Correct() const;  // every element has its value

 private:
  struct Piece {
    std::string name;
    int tensor;
    int64_t shape[2];
    int64_t offsets[2];
    bool whole;
    std::vector<float> values;
  };
  void Add(std::string name, int tensor, int64_t row, int64_t rows, int64_t column, int64_t columns,
           bool whole, bool filled);

  const RankLoad load_;
  std::vector<Piece> pieces_;
};

struct RankOutcome {
  Failure failure;
  std::array<double, 7> phases{};  // seconds by dcp_phase
  double total = 0;                // seconds; what no phase has was waiting for others
  uint64_t items = 0;
  uint64_t bytes = 0;
  uint64_t files = 0;
};

// On this rank's own thread.
RankOutcome SaveRank(const RankState& state, dcp_communicator* communicator, dcp_storage* storage,
                     const dcp_save_options& options);
RankOutcome LoadRank(const RankState& state, dcp_communicator* communicator, dcp_storage* storage,
                     dcp_cancel* cancel);

}  // namespace dcp::cli

#endif  // DCP_CLI_RANK_RUN_H_
