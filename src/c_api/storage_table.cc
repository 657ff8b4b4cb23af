#include <deque>

#include "c_api/storage.h"

namespace dcp::c_api {
namespace {

// The caller's table and data, shared by the store and its open files.
struct Backend {
  dcp_storage_table table;
  std::shared_ptr<UserData> data;
  void* user() const { return data->get(); }
};

Status Named(Status status, std::string_view path) {
  return status.ok() ? status : status.WithDetail("file", std::string(path));
}

class TableWritableFile final : public WritableFile {
 public:
  TableWritableFile(std::shared_ptr<const Backend> backend, std::string path, void* file)
      : backend_(std::move(backend)), path_(std::move(path)), file_(file) {}
  ~TableWritableFile() override {
    if (open_) backend_->table.abort(backend_->user(), file_);
  }

  Status Start(uint64_t offset, Bytes data, uint64_t token) override {
    dcp_error* error = nullptr;
    dcp_status code =
        backend_->table.write(backend_->user(), file_, offset, data.data(), data.size(), &error);
    DCP_RETURN_IF_ERROR(Named(FromCallback(code, error, "storage write"), path_));
    done_.push_back(token);
    return Status::Ok();
  }

  Result<uint64_t> Wait() override {
    if (done_.empty()) return Error(Code::kInternal, "nothing in flight on '{}'", path_);
    uint64_t token = done_.front();
    done_.pop_front();
    return token;
  }

  Status Finish(uint64_t size, bool durable) override {
    open_ = false;
    dcp_error* error = nullptr;
    dcp_status code =
        backend_->table.finish(backend_->user(), file_, size, durable ? 1 : 0, &error);
    return Named(FromCallback(code, error, "storage finish"), path_);
  }

 private:
  std::shared_ptr<const Backend> backend_;
  std::string path_;
  void* file_;
  bool open_ = true;
  std::deque<uint64_t> done_;
};

class TableReadableFile final : public ReadableFile {
 public:
  TableReadableFile(std::shared_ptr<const Backend> backend, std::string path, void* file,
                    uint64_t size)
      : backend_(std::move(backend)), path_(std::move(path)), file_(file), size_(size) {}
  ~TableReadableFile() override { backend_->table.close(backend_->user(), file_); }

  uint64_t size() const override { return size_; }
  std::string_view name() const override { return path_; }

  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    if (offset > size_ || out.size() > size_ - offset) {
      return Named(Error(Code::kCorrupt, "range [{}, +{}) is past the end of '{}' ({} bytes)",
                         offset, out.size(), path_, size_),
                   path_);
    }
    if (out.empty()) return Status::Ok();
    dcp_error* error = nullptr;
    dcp_status code =
        backend_->table.read(backend_->user(), file_, offset, out.data(), out.size(), &error);
    return Named(FromCallback(code, error, "storage read"), path_);
  }

  Result<std::unique_ptr<ReadQueue>> NewQueue(bool) const override {
    return NewSimpleReadQueue(this);
  }

 private:
  std::shared_ptr<const Backend> backend_;
  std::string path_;
  void* file_;
  uint64_t size_;
};

class TableStore final : public Store {
 public:
  TableStore(std::shared_ptr<const Backend> backend, std::string location)
      : backend_(std::move(backend)), location_(std::move(location)) {}

  std::string_view location() const override { return location_; }

  Status MakeRoot() override {
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.make_root(backend_->user(), &error);
    return FromCallback(code, error, "storage make_root");
  }

  Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                               const CreateOptions& options) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    std::string name(path);
    void* file = nullptr;
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.create(backend_->user(), name.c_str(), options.expected_size,
                                             &file, &error);
    DCP_RETURN_IF_ERROR(Named(FromCallback(code, error, "storage create"), path));
    return std::unique_ptr<WritableFile>(
        std::make_unique<TableWritableFile>(backend_, std::move(name), file));
  }

  Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    std::string name(path);
    void* file = nullptr;
    uint64_t size = 0;
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.open(backend_->user(), name.c_str(), &file, &size, &error);
    DCP_RETURN_IF_ERROR(Named(FromCallback(code, error, "storage open"), path));
    return std::unique_ptr<ReadableFile>(
        std::make_unique<TableReadableFile>(backend_, std::move(name), file, size));
  }

  Status Rename(std::string_view from, std::string_view to) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(from));
    DCP_RETURN_IF_ERROR(CheckRelativePath(to));
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.rename(backend_->user(), std::string(from).c_str(),
                                             std::string(to).c_str(), &error);
    return Named(FromCallback(code, error, "storage rename"), from);
  }

  Status Remove(std::string_view path) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.remove(backend_->user(), std::string(path).c_str(), &error);
    return Named(FromCallback(code, error, "storage remove"), path);
  }

  Result<std::vector<std::string>> List() const override {
    struct Sink {
      std::vector<std::string> names;
      bool out_of_memory = false;
    } sink;
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.list(
        backend_->user(),
        [](void* to, const char* name) {
          auto* s = static_cast<Sink*>(to);
          try {
            if (name != nullptr) s->names.emplace_back(name);
          } catch (...) {
            s->out_of_memory = true;
          }
        },
        &sink, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "storage list"));
    if (sink.out_of_memory) return Error(Code::kOutOfMemory, "no memory to list '{}'", location_);
    return std::move(sink.names);
  }

  Status SyncFolder() override {
    if (backend_->table.sync_folder == nullptr) return Status::Ok();
    dcp_error* error = nullptr;
    dcp_status code = backend_->table.sync_folder(backend_->user(), &error);
    return FromCallback(code, error, "storage sync_folder");
  }

 private:
  std::shared_ptr<const Backend> backend_;
  std::string location_;
};

}  // namespace

std::shared_ptr<Store> NewTableStore(const dcp_storage_table& table, std::shared_ptr<UserData> data,
                                     std::string location) {
  auto backend = std::make_shared<Backend>(Backend{table, std::move(data)});
  return std::make_shared<TableStore>(std::move(backend), std::move(location));
}

}  // namespace dcp::c_api
