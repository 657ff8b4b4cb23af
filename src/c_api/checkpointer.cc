#include "c_api/barrier.h"
#include "c_api/context.h"
#include "c_api/future.h"
#include "c_api/rank_reader.h"
#include "c_api/rank_writer.h"
#include "c_api/storage.h"
#include "c_api/value.h"
#include "ranklocal/async_writer.h"

using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

struct dcp_checkpointer : dcp::c_api::Handle {
  int32_t rank = 0;
  std::shared_ptr<dcp::RankWriter> writer;
  std::unique_ptr<dcp::AsyncRankWriter> background;    // null when saves are synchronous
  std::shared_ptr<dcp::c_api::BackgroundSaves> saves;  // may be null
};

namespace dcp::c_api {
namespace {

// A background write as one of the library's saves.
class RankFuture final : public SaveFuture {
 public:
  using Pending = AsyncRankWriter::Pending;

  RankFuture(std::shared_ptr<Pending> pending, CancelToken cancel)
      : pending_(std::move(pending)), cancel_(std::move(cancel)) {}

  Result<SaveResult> Wait(Deadline deadline) override {
    const Result<uint64_t>* const bytes = pending_->Wait(deadline);
    if (bytes == nullptr) {
      return Status(Code::kTimeout, "the save is still running: wait again, or cancel it");
    }
    return ResultOf(*bytes);
  }
  bool done() const override { return pending_->done(); }
  void Cancel() override { cancel_.Cancel(); }
  void OnDone(std::function<void(const Result<SaveResult>&)> callback) override {
    pending_->OnDone([callback = std::move(callback)](const Result<uint64_t>& bytes) {
      callback(ResultOf(bytes));
    });
  }

 private:
  static Result<SaveResult> ResultOf(const Result<uint64_t>& bytes) {
    if (!bytes.ok()) return bytes.status();
    return ResultOfBytes(*bytes);
  }

  const std::shared_ptr<Pending> pending_;
  const CancelToken cancel_;
};

}  // namespace
}  // namespace dcp::c_api

extern "C" {

void dcp_checkpointer_options_init(dcp_checkpointer_options* options, size_t struct_size) {
  dcp::c_api::InitOptions(options, struct_size, {0, 0, nullptr, nullptr});
}

dcp_status dcp_checkpointer_new(dcp_context* context, const dcp_rank_writer_options* writer,
                                const dcp_checkpointer_options* options, dcp_checkpointer** out,
                                dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_rank_writer_options w;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyRankWriterOptions(writer, &w));
    dcp_checkpointer_options o;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyOptions(options, dcp_checkpointer_options_init, &o,
                                                "dcp_checkpointer_options"));
    DCP_ASSIGN_OR_RETURN(auto engine, dcp::c_api::EngineOf(context));
    DCP_ASSIGN_OR_RETURN(auto barrier, dcp::c_api::BarrierOf(w.barrier));
    if (barrier == nullptr) {
      DCP_ASSIGN_OR_RETURN(
          barrier, dcp::c_api::BarrierFromConfig(context, o.barrier_type, o.barrier_arguments));
    }
    auto made = std::make_unique<dcp_checkpointer>();
    made->rank = w.rank;
    DCP_ASSIGN_OR_RETURN(made->writer, dcp::c_api::NewRankWriter(w, std::move(barrier), engine));
    if (o.asynchronous != 0) {
      made->background = std::make_unique<dcp::AsyncRankWriter>(made->writer, std::move(engine));
    }
    if (context != nullptr) made->saves = context->saves;
    *out = made.release();
    return Status::Ok();
  });
}

dcp_status dcp_checkpointer_save(dcp_checkpointer* checkpointer, dcp_storage* storage,
                                 const dcp_value* state, const dcp_value* extra, dcp_cancel* cancel,
                                 dcp_future** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (out != nullptr) *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(checkpointer, "checkpointer"));
    DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    DCP_ASSIGN_OR_RETURN(const dcp::ValuePtr given, dcp::c_api::ExtraOf(extra));
    DCP_ASSIGN_OR_RETURN(const dcp::CancelToken token, dcp::c_api::TokenOf(cancel));
    if (checkpointer->background == nullptr) {
      return checkpointer->writer->Write(*storage->store, *state->value, given, token).status();
    }
    auto future = std::make_unique<dcp_future>();
    DCP_ASSIGN_OR_RETURN(
        auto pending, checkpointer->background->Write(storage->store, state->value, given, token));
    future->save = std::make_shared<dcp::c_api::RankFuture>(std::move(pending), token);
    if (checkpointer->saves != nullptr) checkpointer->saves->Add(future->save);
    if (out != nullptr) *out = future.release();
    return Status::Ok();
  });
}

dcp_status dcp_checkpointer_release_staging(dcp_checkpointer* checkpointer, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(checkpointer, "checkpointer"));
    if (checkpointer->background != nullptr) checkpointer->background->ReleaseStaging();
    return Status::Ok();
  });
}

dcp_status dcp_checkpointer_load(dcp_checkpointer* checkpointer, const dcp_storage* storage,
                                 const dcp_value* target, int32_t strict, dcp_value** out,
                                 dcp_value** missing, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(checkpointer, "checkpointer"));
    return dcp::c_api::ReadRank(checkpointer->rank, storage, target, strict != 0, out, missing);
  });
}

dcp_status dcp_checkpointer_close(dcp_checkpointer* checkpointer, int64_t timeout_ms,
                                  dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(checkpointer, "checkpointer"));
    if (checkpointer->background != nullptr) {
      return checkpointer->background->Close(dcp::Deadline::FromMilliseconds(timeout_ms));
    }
    checkpointer->writer->Close();
    return Status::Ok();
  });
}

void dcp_checkpointer_free(dcp_checkpointer* checkpointer) { dcp::c_api::Free(checkpointer); }

}  // extern "C"
