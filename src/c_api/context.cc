#include "c_api/context.h"

using dcp::Code;
using dcp::Engine;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::CopyOptions;
using dcp::c_api::CopyTable;
using dcp::c_api::Guard;
using dcp::c_api::TakeUserData;
using dcp::c_api::UserData;

namespace dcp::c_api {
namespace {

class TableLogSink final : public LogSink {
 public:
  TableLogSink(const dcp_log_table& table, std::unique_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}
  void Log(LogLevel level, std::string_view message) override {
    table_.log(data_->get(), static_cast<int32_t>(level), std::string(message).c_str());
  }

 private:
  dcp_log_table table_;
  std::unique_ptr<UserData> data_;
};

class TableProgressSink final : public ProgressSink {
 public:
  TableProgressSink(const dcp_progress_table& table, std::unique_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}
  Status Update(const ProgressEvent& event) override {
    dcp_progress_event out = {sizeof(out),      static_cast<int32_t>(event.phase),
                              event.bytes_done, event.bytes_total,
                              event.items_done, event.items_total};
    dcp_error* error = nullptr;
    dcp_status code = table_.update(data_->get(), &out, &error);
    return FromCallback(code, error, "progress update");
  }

 private:
  dcp_progress_table table_;
  std::unique_ptr<UserData> data_;
};

class TableDeviceCopier final : public DeviceCopier {
 public:
  TableDeviceCopier(const dcp_device_table& table, std::unique_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}
  bool Handles(Device device) const override {
    return table_.handles(data_->get(), device.type, device.index) != 0;
  }
  Status ToHost(Device device, const void* from, MutableBytes to) override {
    dcp_error* error = nullptr;
    dcp_status code =
        table_.to_host(data_->get(), device.type, device.index, from, to.data(), to.size(), &error);
    return FromCallback(code, error, "device to_host");
  }
  Status ToDevice(Device device, Bytes from, void* to) override {
    dcp_error* error = nullptr;
    dcp_status code = table_.to_device(data_->get(), device.type, device.index, from.data(), to,
                                       from.size(), &error);
    return FromCallback(code, error, "device to_device");
  }

 private:
  dcp_device_table table_;
  std::unique_ptr<UserData> data_;
};

}  // namespace

void BackgroundSaves::Add(std::shared_ptr<SaveFuture> save) {
  const std::lock_guard lock(mutex_);
  std::erase_if(saves_, [](const auto& old) { return old->done(); });
  saves_.push_back(std::move(save));
}

std::vector<std::shared_ptr<SaveFuture>> BackgroundSaves::all() const {
  const std::lock_guard lock(mutex_);
  return saves_;
}

Result<std::shared_ptr<const Engine>> EngineOf(dcp_context* context) {
  if (context == nullptr) {
    auto fresh = std::make_shared<Engine>();
    fresh->EnsurePool();
    return std::shared_ptr<const Engine>(std::move(fresh));
  }
  DCP_RETURN_IF_ERROR(CheckHandle(context, "context"));
  std::lock_guard lock(context->mutex);
  return std::shared_ptr<const Engine>(context->engine);
}

Result<CancelToken> TokenOf(const dcp_cancel* cancel) {
  if (cancel == nullptr) return CancelToken();
  DCP_RETURN_IF_ERROR(CheckHandle(cancel, "cancel"));
  return cancel->token;
}

namespace {

// Changes a copy of the context's engine and puts it in place.
template <typename Change>
Status ChangeEngine(dcp_context* context, Change&& change) {
  DCP_RETURN_IF_ERROR(CheckHandle(context, "context"));
  std::lock_guard lock(context->mutex);
  auto changed = std::make_shared<Engine>(*context->engine);
  DCP_RETURN_IF_ERROR(change(*changed));
  context->engine = std::move(changed);
  return Status::Ok();
}

}  // namespace
}  // namespace dcp::c_api

extern "C" {

dcp_cancel* dcp_cancel_new(void) {
  try {
    return new dcp_cancel;
  } catch (...) {
    return nullptr;
  }
}

void dcp_cancel_request(dcp_cancel* cancel) {
  if (cancel != nullptr) cancel->token.Cancel();
}

int32_t dcp_cancel_requested(const dcp_cancel* cancel) {
  return cancel != nullptr && cancel->token.cancelled() ? 1 : 0;
}

void dcp_cancel_free(dcp_cancel* cancel) { dcp::c_api::Free(cancel); }

void dcp_context_options_init(dcp_context_options* options, size_t struct_size) {
  dcp::c_api::InitOptions(options, struct_size, {0, 0, 64u << 20});
}

dcp_status dcp_context_new(const dcp_context_options* options, dcp_context** out,
                           dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_context_options o;
    DCP_RETURN_IF_ERROR(CopyOptions(options, dcp_context_options_init, &o, "dcp_context_options"));
    if (o.threads < 0 || o.threads > 4096) {
      return Error(Code::kInvalidArgument, "threads is {}: 0 to 4096 is allowed", o.threads);
    }
    auto context = std::make_unique<dcp_context>();
    context->engine->threads = o.threads;
    context->engine->memory_budget = o.memory_budget;
    context->engine->EnsurePool();
    *out = context.release();
    return Status::Ok();
  });
}

void dcp_context_free(dcp_context* context) { dcp::c_api::Free(context); }

dcp_status dcp_context_set_log(dcp_context* context, const dcp_log_table* table, void* user_data,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    auto data = TakeUserData(table, user_data);
    std::shared_ptr<dcp::LogSink> sink;
    if (table != nullptr) {
      dcp_log_table copy;
      DCP_RETURN_IF_ERROR(CopyTable(table, &copy, "dcp_log_table"));
      DCP_RETURN_IF_ERROR(CheckOut(reinterpret_cast<const void*>(copy.log), "dcp_log_table.log"));
      sink = std::make_shared<dcp::c_api::TableLogSink>(copy, std::move(data));
    }
    return dcp::c_api::ChangeEngine(context, [&](Engine& engine) {
      engine.log = std::move(sink);
      return Status::Ok();
    });
  });
}

dcp_status dcp_context_set_progress(dcp_context* context, const dcp_progress_table* table,
                                    void* user_data, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    auto data = TakeUserData(table, user_data);
    std::shared_ptr<dcp::ProgressSink> sink;
    if (table != nullptr) {
      dcp_progress_table copy;
      DCP_RETURN_IF_ERROR(CopyTable(table, &copy, "dcp_progress_table"));
      DCP_RETURN_IF_ERROR(
          CheckOut(reinterpret_cast<const void*>(copy.update), "dcp_progress_table.update"));
      sink = std::make_shared<dcp::c_api::TableProgressSink>(copy, std::move(data));
    }
    return dcp::c_api::ChangeEngine(context, [&](Engine& engine) {
      engine.progress = std::move(sink);
      return Status::Ok();
    });
  });
}

dcp_status dcp_context_set_device(dcp_context* context, const dcp_device_table* table,
                                  void* user_data, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    auto data = TakeUserData(table, user_data);
    std::shared_ptr<dcp::DeviceCopier> copier;
    if (table != nullptr) {
      dcp_device_table copy;
      DCP_RETURN_IF_ERROR(CopyTable(table, &copy, "dcp_device_table"));
      if (copy.handles == nullptr || copy.to_host == nullptr || copy.to_device == nullptr) {
        return Error(Code::kInvalidArgument,
                     "dcp_device_table: handles, to_host and to_device must be given");
      }
      copier = std::make_shared<dcp::c_api::TableDeviceCopier>(copy, std::move(data));
    }
    return dcp::c_api::ChangeEngine(context, [&](Engine& engine) {
      engine.copier = std::move(copier);
      return Status::Ok();
    });
  });
}

dcp_status dcp_context_drain(dcp_context* context, int64_t timeout_ms, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(context, "context"));
    dcp::Deadline deadline = dcp::Deadline::FromMilliseconds(timeout_ms);
    for (const auto& save : context->saves->all()) {
      auto outcome = save->Wait(deadline);  // its own failure is its waiter's to hear
      if (!save->done()) {
        return Error(Code::kTimeout, "a background save is still running after {} ms", timeout_ms);
      }
    }
    return Status::Ok();
  });
}

}  // extern "C"
