#include <string>

#include "c_api/context.h"

namespace dcp::c_api {
namespace {

struct Backend {
  dcp_transform_table table;
  std::shared_ptr<UserData> data;
  std::string name;
};

class TableStream final : public TransformStream {
 public:
  TableStream(std::shared_ptr<const Backend> backend, void* stream)
      : backend_(std::move(backend)), stream_(stream) {}
  ~TableStream() override { backend_->table.end(backend_->data->get(), stream_); }

  Status Push(Bytes in, const ByteSink& out) override {
    Collector collector{&out, Status::Ok()};
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.push(backend_->data->get(), stream_, in.data(), in.size(),
                                           &Collector::Write, &collector, &error);
    return Outcome(code, error, collector, "transform push");
  }

  Status Finish(const ByteSink& out) override {
    Collector collector{&out, Status::Ok()};
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.finish(backend_->data->get(), stream_, &Collector::Write,
                                             &collector, &error);
    return Outcome(code, error, collector, "transform finish");
  }

 private:
  struct Collector {
    const ByteSink* out;
    Status failed;

    static dcp_status Write(void* sink, const void* data, size_t size) {
      auto* self = static_cast<Collector*>(sink);
      try {
        if (self->failed.ok() && size > 0) self->failed = (*self->out)(AsBytes(data, size));
      } catch (...) {
        return DCP_OUT_OF_MEMORY;
      }
      return static_cast<dcp_status>(self->failed.code());
    }
  };

  // What lies below the stream decides, even when the callback swallowed its failure.
  Status Outcome(dcp_status code, dcp_error* error, const Collector& collector, const char* what) {
    Status status = FromCallback(code, error, what);
    if (!collector.failed.ok()) return collector.failed;
    return status.ok() ? status : status.WithDetail("transform", backend_->name);
  }

  std::shared_ptr<const Backend> backend_;
  void* stream_;
};

class TableTransform final : public Transform {
 public:
  TableTransform(const dcp_transform_table& table, std::shared_ptr<UserData> data, std::string name,
                 std::string version)
      : backend_(std::make_shared<Backend>(Backend{table, std::move(data), std::move(name)})),
        version_(std::move(version)) {}

  std::string_view name() const override { return backend_->name; }
  std::string_view version() const override { return version_; }
  Result<std::unique_ptr<TransformStream>> NewEncoder() const override {
    return Start(DCP_ENCODE, version_);
  }
  Result<std::unique_ptr<TransformStream>> NewDecoder(std::string_view version) const override {
    return Start(DCP_DECODE, std::string(version));
  }

 private:
  Result<std::unique_ptr<TransformStream>> Start(int32_t direction,
                                                 const std::string& version) const {
    void* stream = nullptr;
    dcp_error* error = nullptr;
    dcp_status code =
        backend_->table.start(backend_->data->get(), direction, version.c_str(), &stream, &error);
    DCP_RETURN_IF_ERROR(
        FromCallback(code, error, "transform start").WithDetail("transform", backend_->name));
    return std::unique_ptr<TransformStream>(std::make_unique<TableStream>(backend_, stream));
  }

  std::shared_ptr<const Backend> backend_;
  std::string version_;
};

}  // namespace
}  // namespace dcp::c_api

using dcp::Code;
using dcp::Error;
using dcp::Status;

extern "C" dcp_status dcp_context_add_transform(dcp_context* context, const char* name,
                                                const char* version,
                                                const dcp_transform_table* table, void* user_data,
                                                dcp_error** error) {
  return dcp::c_api::Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(dcp::c_api::CheckHandle(context, "context"));
    if (name == nullptr || version == nullptr || *name == '\0' || *version == '\0') {
      return Error(Code::kInvalidArgument, "name or version is NULL or empty");
    }
    dcp_transform_table t;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &t, "dcp_transform_table"));
    if (!t.start || !t.push || !t.finish || !t.end) {
      return Error(Code::kInvalidArgument,
                   "dcp_transform_table: start, push, finish and end must be given");
    }
    auto transform =
        std::make_shared<dcp::c_api::TableTransform>(t, std::move(data), name, version);
    std::lock_guard lock(context->mutex);
    auto changed = std::make_shared<dcp::Engine>(*context->engine);
    changed->transforms = std::make_shared<dcp::TransformRegistry>(*context->engine->transforms);
    DCP_RETURN_IF_ERROR(changed->transforms->Add(std::move(transform)));
    context->engine = std::move(changed);
    return Status::Ok();
  });
}
