// The store to read before writing a backend: everything the contract asks for, nothing else.
#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <optional>

#include "storage/open.h"
#include "storage/path_text.h"

namespace dcp {
namespace {

// What a file holds never changes once it can be seen: writing it again, renaming over it and
// removing it only change what the name leads to. So an open reader needs no lock.
using Content = std::string;

// What a name leads to. A rename moves it, so a file may be renamed while it is being written.
struct Node {
  std::mutex mutex;
  std::shared_ptr<const Content> content = std::make_shared<Content>();  // guarded by mutex

  std::shared_ptr<const Content> Get() {
    std::lock_guard lock(mutex);
    return content;
  }
  void Set(Content bytes) {
    auto made = std::make_shared<const Content>(std::move(bytes));
    std::lock_guard lock(mutex);
    content = std::move(made);
  }
};

Status NotFound(std::string_view action, std::string_view path) {
  return Error(Code::kNotFound, "cannot {} '{}': there is no such file in the memory store", action,
               PathText(path))
      .WithDetail("file", PathText(path));
}

class MemoryWriter final : public WritableFile {
 public:
  MemoryWriter(std::string path, std::shared_ptr<Node> node)
      : path_(std::move(path)), node_(std::move(node)) {}

  ~MemoryWriter() override {
    if (!finished_) node_->Set(std::move(bytes_));
  }

  Status Start(uint64_t offset, Bytes data, uint64_t token) override {
    if (finished_ || token_) {
      return Error(Code::kInvalidArgument, "cannot write '{}': {}", path_,
                   finished_ ? "it is finished" : "a write is in flight already (depth is 1)");
    }
    uint64_t end;
    if (!CheckedAdd<uint64_t>(offset, data.size(), &end)) {
      return Error(Code::kInvalidArgument, "cannot write '{}': offset {} + {} bytes overflows",
                   path_, offset, data.size());
    }
    DCP_RETURN_IF_ERROR(Resize(std::max<uint64_t>(end, bytes_.size())));
    if (!data.empty()) std::memcpy(bytes_.data() + offset, data.data(), data.size());
    token_ = token;
    return Status::Ok();
  }

  Result<uint64_t> Wait() override {
    if (!token_) return Error(Code::kInvalidArgument, "no write to '{}' is in flight", path_);
    uint64_t token = *token_;
    token_.reset();
    return token;
  }

  Status Finish(uint64_t size, bool /*durable*/) override {
    if (finished_ || token_) {
      return Error(Code::kInvalidArgument, "cannot finish '{}': {}", path_,
                   finished_ ? "it is finished" : "a write has not been waited for");
    }
    DCP_RETURN_IF_ERROR(Resize(size));
    node_->Set(std::move(bytes_));
    finished_ = true;
    return Status::Ok();
  }

 private:
  Status Resize(uint64_t size) {
    try {
      bytes_.resize(size);
    } catch (const std::exception&) {  // bad_alloc, or length_error past max_size()
      return Error(Code::kOutOfMemory, "no memory for the {} bytes of '{}'", size, path_);
    }
    return Status::Ok();
  }

  const std::string path_;
  const std::shared_ptr<Node> node_;
  Content bytes_;
  std::optional<uint64_t> token_;
  bool finished_ = false;
};

class MemoryReader final : public ReadableFile {
 public:
  MemoryReader(std::string path, std::shared_ptr<const Content> content)
      : path_(std::move(path)), content_(std::move(content)) {}

  std::string_view name() const override { return path_; }
  uint64_t size() const override { return content_->size(); }
  Bytes InMemory() const override { return AsBytes(*content_); }

  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    DCP_RETURN_IF_ERROR(CheckRange(offset, out.size()));
    if (!out.empty()) std::memcpy(out.data(), content_->data() + offset, out.size());
    return Status::Ok();
  }

  Result<std::unique_ptr<ReadQueue>> NewQueue(bool /*cold*/) const override {
    return NewSimpleReadQueue(this);
  }

  Result<Mapping> Map(uint64_t offset, uint64_t size) const override {
    DCP_RETURN_IF_ERROR(CheckRange(offset, size));
    return Mapping{InMemory().subspan(offset, size), content_};
  }

 private:
  Status CheckRange(uint64_t offset, uint64_t size) const {
    if (offset <= content_->size() && size <= content_->size() - offset) return Status::Ok();
    return Error(Code::kCorrupt, "cannot read [{}, +{}) of '{}': it has {} bytes", offset, size,
                 PathText(path_), content_->size())
        .WithDetail("file", PathText(path_))
        .WithDetail("offset", fmt::format("{}", offset));
  }

  const std::string path_;
  const std::shared_ptr<const Content> content_;
};

class MemoryStore final : public Store {
 public:
  std::string_view location() const override { return "memory://"; }
  Status MakeRoot() override { return Status::Ok(); }
  Status SyncFolder() override { return Status::Ok(); }

  Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                               const CreateOptions& /*options*/) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    auto node = std::make_shared<Node>();
    std::lock_guard lock(mutex_);
    files_[std::string(path)] = node;
    return std::unique_ptr<WritableFile>(
        std::make_unique<MemoryWriter>(PathText(path), std::move(node)));
  }

  Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    std::lock_guard lock(mutex_);
    auto found = files_.find(path);
    if (found == files_.end()) return NotFound("open", path);
    return std::unique_ptr<ReadableFile>(
        std::make_unique<MemoryReader>(std::string(path), found->second->Get()));
  }

  Status Rename(std::string_view from, std::string_view to) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(from));
    DCP_RETURN_IF_ERROR(CheckRelativePath(to));
    std::lock_guard lock(mutex_);
    auto found = files_.find(from);
    if (found == files_.end()) return NotFound("rename", from);
    if (from == to) return Status::Ok();
    std::shared_ptr<Node> node = std::move(found->second);
    files_.erase(found);
    files_[std::string(to)] = std::move(node);
    return Status::Ok();
  }

  Status Remove(std::string_view path) override {
    DCP_RETURN_IF_ERROR(CheckRelativePath(path));
    std::lock_guard lock(mutex_);
    auto found = files_.find(path);
    if (found == files_.end()) return NotFound("remove", path);
    files_.erase(found);
    return Status::Ok();
  }

  Result<std::vector<std::string>> List() const override {
    std::vector<std::string> names;
    std::lock_guard lock(mutex_);
    for (const auto& [path, node] : files_) {
      if (path.find('/') == std::string::npos) names.push_back(path);
    }
    return names;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Node>, std::less<>> files_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<Store> NewMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace dcp
