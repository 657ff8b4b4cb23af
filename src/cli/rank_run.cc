#include "cli/rank_run.h"

#include <fmt/format.h>

#include <chrono>

namespace dcp::cli {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

float ValueAt(int tensor, int64_t row, int64_t column) {
  return static_cast<float>((tensor * int64_t{7919} + row * 613 + column) % 16777213);
}

// How long each phase took, by the library's own events.
class PhaseClock {
 public:
  explicit PhaseClock(RankOutcome* out) : out_(*out) {}

  Failure Attach(ContextHandle* context) {
    dcp_progress_table table = {};
    table.struct_size = sizeof table;
    table.update = OnEvent;
    if (Failure failure = Try(
            [&](dcp_error** error) { return dcp_context_new(nullptr, Out(*context), error); })) {
      return failure;
    }
    return Try([&](dcp_error** error) {
      return dcp_context_set_progress(context->get(), &table, this, error);
    });
  }

 private:
  static dcp_status OnEvent(void* user_data, const dcp_progress_event* event, dcp_error**) {
    auto* self = static_cast<PhaseClock*>(user_data);
    if (event->phase < 0 || event->phase >= static_cast<int32_t>(self->out_.phases.size())) {
      return DCP_OK;
    }
    // The first event of a phase begins it; each further one may be its last.
    if (event->phase != self->phase_) {
      self->phase_ = event->phase;
      self->begin_ = Clock::now();
    }
    self->out_.phases[static_cast<size_t>(event->phase)] = SecondsSince(self->begin_);
    return DCP_OK;
  }

  RankOutcome& out_;
  int32_t phase_ = -1;
  Clock::time_point begin_;
};

}  // namespace

RankState::RankState(const RankLoad& load, int rank, int ranks, int dimension, bool filled)
    : load_(load) {
  for (int i = 0; i < load.sharded; ++i) {
    const int64_t whole = dimension == 0 ? load.rows : load.columns;
    const int64_t begin = whole * rank / ranks, end = whole * (rank + 1) / ranks;
    const std::string name = fmt::format("sharded.{}", i);
    if (dimension == 0) {
      Add(name, i, begin, end - begin, 0, load.columns, false, filled);
    } else {
      Add(name, i, 0, load.rows, begin, end - begin, false, filled);
    }
  }
  for (int i = 0; i < load.replicated; ++i) {
    Add(fmt::format("replicated.{}", i), load.sharded + i, 0, load.rows, 0, load.columns, true,
        filled);
  }
}

void RankState::Add(std::string name, int tensor, int64_t row, int64_t rows, int64_t column,
                    int64_t columns, bool whole, bool filled) {
  Piece piece{std::move(name), tensor, {rows, columns}, {row, column}, whole, {}};
  piece.values.resize(static_cast<size_t>(rows * columns), -1);
  for (int64_t r = 0; filled && r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      piece.values[static_cast<size_t>(r * columns + c)] = ValueAt(tensor, row + r, column + c);
    }
  }
  pieces_.push_back(std::move(piece));
}

bool RankState::Correct() const {
  for (const Piece& piece : pieces_) {
    const float* value = piece.values.data();
    for (int64_t r = 0; r < piece.shape[0]; ++r) {
      for (int64_t c = 0; c < piece.shape[1]; ++c) {
        if (*value++ != ValueAt(piece.tensor, piece.offsets[0] + r, piece.offsets[1] + c)) {
          return false;
        }
      }
    }
  }
  return true;
}

Failure RankState::MakeState(StateDictHandle* out) const {
  if (Failure failure =
          Try([&](dcp_error** error) { return dcp_state_dict_new(Out(*out), error); })) {
    return failure;
  }
  const int64_t global[2] = {load_.rows, load_.columns};
  for (const Piece& piece : pieces_) {
    dcp_tensor_view view = {};
    view.struct_size = sizeof view;
    view.dtype = DCP_FLOAT32;
    view.ndim = 2;
    view.shape = piece.shape;
    view.data = const_cast<float*>(piece.values.data());
    TensorHandle tensor;
    ValueHandle value;
    Failure failure = Try([&](dcp_error** error) -> dcp_status {
      dcp_status status = dcp_tensor_new(&view, nullptr, nullptr, Out(tensor), error);
      if (status != DCP_OK) return status;
      const dcp_tensor* shard = tensor.get();
      status = piece.whole ? dcp_value_tensor(DCP_VALUE_TENSOR, shard, Out(value), error)
                           : dcp_value_sharded_tensor(DCP_FLOAT32, 2, global, &shard, piece.offsets,
                                                      1, Out(value), error);
      if (status != DCP_OK) return status;
      return dcp_state_dict_set(out->get(), piece.name.data(), piece.name.size(), value.get(),
                                error);
    });
    if (failure) return failure;
  }
  return Failure();
}

namespace {

// Runs `call` on a context and with a state dict of its own, and takes its time.
template <typename Call>
RankOutcome Timed(const RankState& state, const Call& call) {
  RankOutcome out;
  PhaseClock clock(&out);
  ContextHandle context;
  StateDictHandle dict;
  out.failure = clock.Attach(&context);
  if (!out.failure) out.failure = state.MakeState(&dict);
  if (out.failure) return out;
  const Clock::time_point begin = Clock::now();
  out.failure =
      Try([&](dcp_error** error) { return call(context.get(), dict.get(), &out, error); });
  out.total = SecondsSince(begin);
  return out;
}

}  // namespace

RankOutcome SaveRank(const RankState& state, dcp_communicator* communicator, dcp_storage* storage,
                     const dcp_save_options& options) {
  dcp_save_options mine = options;
  mine.communicator = communicator;
  return Timed(state, [&](dcp_context* context, const dcp_state_dict* dict, RankOutcome* out,
                          dcp_error** error) {
    SaveReportHandle report;
    const dcp_status status = dcp_save(context, storage, dict, &mine, Out(report), error);
    out->items = dcp_save_report_items(report.get());
    out->bytes = dcp_save_report_bytes(report.get());
    out->files = dcp_save_report_files(report.get());
    return status;
  });
}

RankOutcome LoadRank(const RankState& state, dcp_communicator* communicator, dcp_storage* storage,
                     dcp_cancel* cancel) {
  dcp_load_options options;
  dcp_load_options_init(&options, sizeof options);
  options.communicator = communicator;
  options.cancel = cancel;
  return Timed(state, [&](dcp_context* context, const dcp_state_dict* dict, RankOutcome* out,
                          dcp_error** error) {
    LoadReportHandle report;
    const dcp_status status = dcp_load(context, storage, dict, &options, Out(report), error);
    out->items = dcp_load_report_count(report.get(), DCP_LOADED);
    out->bytes = dcp_load_report_bytes_read(report.get());
    return status;
  });
}

}  // namespace dcp::cli
