// What every part of the `.metadata` decoder shares: the graph, the tables that are filled, and how
// much the file may still describe.
#ifndef DCP_METADATA_DECODE_PART_H_
#define DCP_METADATA_DECODE_PART_H_

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "metadata/folded_rows.h"
#include "metadata/metadata.h"
#include "pickle/graph.h"

namespace dcp {

// Of one file. Pickles may name one node many times, so that what they describe can be far larger
// than they are: numbers and text taken over are charged against the file's own size.
struct DecodeState {
  DecodeState(const pickle::Graph& of, const FoldedRows& folded, uint64_t file_size);

  const pickle::Graph& graph;
  const FoldedRows& rows;
  Metadata out;
  uint64_t numbers_left;
  uint64_t text_left;
  size_t notes_left_out = 0;
  std::vector<pickle::NodeId> entry_names;      // of out.entries
  pickle::NodeId size_class = pickle::kNoNode;  // torch.Size, as last seen
};

class DecodePart {
 protected:
  explicit DecodePart(DecodeState* state)
      : graph_(state->graph),
        rows_(state->rows),
        out_(state->out),
        numbers_left_(state->numbers_left),
        text_left_(state->text_left),
        state_(*state) {}

  template <typename... Args>
  void Note(fmt::format_string<Args...> format, Args&&... args) {
    out_.notes.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  // To be asked before a note of which there may be many; counts the refused ones.
  bool HasRoomForNote();
  // kLimit when less is left.
  Status Charge(uint64_t amount, uint64_t* left);
  Result<std::string> Text(pickle::NodeId node);
  // The tuple inside a torch.Size, or the node itself.
  pickle::NodeId SizeTuple(pickle::NodeId node);
  // Appends the numbers of a torch.Size, tuple or list; false when it is something else or has a
  // number that is negative or does not fit. kLimit for more than kMaxDims.
  template <typename Numbers>  // Shape or std::vector<int64_t>
  Result<bool> AppendDims(pickle::NodeId node, Numbers* out);
  // As AppendDims, of a folded row.
  Status AppendNumbers(Dims numbers, std::vector<int64_t>* out);

  const pickle::Graph& graph_;
  const FoldedRows& rows_;
  Metadata& out_;
  uint64_t& numbers_left_;
  uint64_t& text_left_;
  DecodeState& state_;
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_PART_H_
