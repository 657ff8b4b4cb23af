#include "checkpoint/leased_store.h"

#include <utility>

namespace dcp {
namespace {

class LeasedFile final : public WritableFile {
 public:
  LeasedFile(std::unique_ptr<WritableFile> file, const Lease& lease, std::string_view path)
      : file_(std::move(file)), lease_(lease), what_(fmt::format("writing '{}'", path)) {}

  size_t alignment() const override { return file_->alignment(); }
  size_t depth() const override { return file_->depth(); }
  Status Start(uint64_t offset, Bytes data, uint64_t token) override {
    DCP_RETURN_IF_ERROR(lease_.Check(what_));
    return file_->Start(offset, data, token);
  }
  Result<uint64_t> Wait() override { return file_->Wait(); }
  Status Finish(uint64_t size, bool durable) override {
    DCP_RETURN_IF_ERROR(lease_.Check(what_));
    return file_->Finish(size, durable);
  }

 private:
  const std::unique_ptr<WritableFile> file_;
  const Lease& lease_;
  const std::string what_;
};

class LeasedStore final : public Store {
 public:
  LeasedStore(Store* store, const Lease* lease) : store_(*store), lease_(*lease) {}

  std::string_view location() const override { return store_.location(); }
  Status MakeRoot() override {
    DCP_RETURN_IF_ERROR(lease_.Check("making the folder"));
    return store_.MakeRoot();
  }
  Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                               const CreateOptions& options) override {
    DCP_RETURN_IF_ERROR(lease_.Check(fmt::format("creating '{}'", path)));
    DCP_ASSIGN_OR_RETURN(auto file, store_.Create(path, options));
    return std::unique_ptr<WritableFile>(
        std::make_unique<LeasedFile>(std::move(file), lease_, path));
  }
  Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const override {
    return store_.Open(path);
  }
  Status Rename(std::string_view from, std::string_view to) override {
    DCP_RETURN_IF_ERROR(lease_.Check(fmt::format("renaming '{}' to '{}'", from, to)));
    return store_.Rename(from, to);
  }
  Status Remove(std::string_view path) override {
    DCP_RETURN_IF_ERROR(lease_.Check(fmt::format("removing '{}'", path)));
    return store_.Remove(path);
  }
  Result<std::vector<std::string>> List() const override { return store_.List(); }
  Status SyncFolder() override { return store_.SyncFolder(); }

 private:
  Store& store_;
  const Lease& lease_;
};

}  // namespace

std::unique_ptr<Store> NewLeasedStore(Store* store, const Lease* lease) {
  return std::make_unique<LeasedStore>(store, lease);
}

}  // namespace dcp
