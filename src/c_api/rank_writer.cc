#include "c_api/rank_writer.h"

#include <cmath>

#include "c_api/barrier.h"
#include "c_api/commit_hook.h"
#include "c_api/context.h"
#include "c_api/state_dict.h"
#include "c_api/storage.h"
#include "c_api/value.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

struct dcp_rank_writer : dcp::c_api::Handle {
  explicit dcp_rank_writer(std::shared_ptr<dcp::RankWriter> of) : writer(std::move(of)) {}
  std::shared_ptr<dcp::RankWriter> writer;
};

namespace dcp::c_api {
namespace {

constexpr double kMostSeconds = 1e9;  // what counts as no end

int64_t MillisecondsOf(double seconds) {
  return seconds < 0 || seconds > kMostSeconds ? -1
                                               : static_cast<int64_t>(std::ceil(seconds * 1000));
}

}  // namespace

Status CopyRankWriterOptions(const dcp_rank_writer_options* options, dcp_rank_writer_options* out) {
  return CopyOptions(options, dcp_rank_writer_options_init, out, "dcp_rank_writer_options");
}

Result<std::shared_ptr<RankWriter>> NewRankWriter(const dcp_rank_writer_options& options,
                                                  std::shared_ptr<Barrier> barrier,
                                                  std::shared_ptr<const Engine> engine) {
  if (std::isnan(options.barrier_timeout_secs)) {
    return Error(Code::kInvalidArgument, "barrier_timeout_secs is not a number");
  }
  std::shared_ptr<CommitHook> hook;
  if (options.commit_hook != nullptr) {
    DCP_RETURN_IF_ERROR(CheckHandle(options.commit_hook, "commit_hook"));
    hook = options.commit_hook->hook;
  }
  RankWriterOptions writer;
  writer.rank = options.rank;
  writer.world_size = options.world_size;
  writer.barrier_timeout_ms = MillisecondsOf(options.barrier_timeout_secs);
  writer.durable = options.durable != 0;
  DCP_ASSIGN_OR_RETURN(
      std::unique_ptr<RankWriter> made,
      RankWriter::New(writer, std::move(barrier), std::move(hook), std::move(engine)));
  return std::shared_ptr<RankWriter>(std::move(made));
}

Result<ValuePtr> ExtraOf(const dcp_value* extra) {
  if (extra == nullptr) return ValuePtr();
  DCP_RETURN_IF_ERROR(CheckHandle(extra, "extra"));
  return extra->value;
}

SaveResult ResultOfBytes(uint64_t bytes) {
  SaveResult result;
  result.bytes_written = bytes;
  result.items_written = 1;
  result.files_written = 1;
  return result;
}

}  // namespace dcp::c_api

extern "C" {

void dcp_rank_writer_options_init(dcp_rank_writer_options* options, size_t struct_size) {
  dcp_rank_writer_options defaults = {};
  defaults.world_size = 1;
  defaults.durable = 1;
  defaults.barrier_timeout_secs = 600;
  dcp::c_api::InitOptions(options, struct_size, defaults);
}

dcp_status dcp_rank_writer_new(dcp_context* context, const dcp_rank_writer_options* options,
                               dcp_rank_writer** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_rank_writer_options o;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyRankWriterOptions(options, &o));
    DCP_ASSIGN_OR_RETURN(auto engine, dcp::c_api::EngineOf(context));
    DCP_ASSIGN_OR_RETURN(auto barrier, dcp::c_api::BarrierOf(o.barrier));
    DCP_ASSIGN_OR_RETURN(auto writer,
                         dcp::c_api::NewRankWriter(o, std::move(barrier), std::move(engine)));
    *out = new dcp_rank_writer(std::move(writer));
    return Status::Ok();
  });
}

dcp_status dcp_rank_writer_write(dcp_rank_writer* writer, dcp_storage* storage,
                                 const dcp_value* state, const dcp_value* extra, dcp_cancel* cancel,
                                 dcp_save_report** report, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (report != nullptr) *report = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(writer, "writer"));
    DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    DCP_ASSIGN_OR_RETURN(const dcp::ValuePtr given, dcp::c_api::ExtraOf(extra));
    DCP_ASSIGN_OR_RETURN(const dcp::CancelToken token, dcp::c_api::TokenOf(cancel));
    DCP_ASSIGN_OR_RETURN(const uint64_t bytes,
                         writer->writer->Write(*storage->store, *state->value, given, token));
    return dcp::c_api::DeliverReport(dcp::c_api::ResultOfBytes(bytes), report);
  });
}

dcp_status dcp_rank_writer_close(dcp_rank_writer* writer, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(writer, "writer"));
    writer->writer->Close();
    return Status::Ok();
  });
}

void dcp_rank_writer_free(dcp_rank_writer* writer) { dcp::c_api::Free(writer); }

dcp_status dcp_state_dict_to_value(const dcp_state_dict* state, dcp_value** out,
                                   dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    *out = new dcp_value(state->ToValue());
    return Status::Ok();
  });
}

}  // extern "C"
