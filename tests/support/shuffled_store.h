// A store whose files give reads back out of order, as devices do.
#ifndef DCP_TESTS_SUPPORT_SHUFFLED_STORE_H_
#define DCP_TESTS_SUPPORT_SHUFFLED_STORE_H_

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/store.h"

namespace dcp {

struct QueuesAsked {
  std::atomic<int> cold{0};
  std::atomic<int> warm{0};
};

// A file whose queues finish reads in any order and may want alignment, as devices do.
class ShuffledFile final : public ReadableFile {
 public:
  ShuffledFile(std::shared_ptr<ReadableFile> file, size_t alignment,
               std::shared_ptr<QueuesAsked> asked)
      : file_(std::move(file)), alignment_(alignment), asked_(std::move(asked)) {}
  std::string_view name() const override { return file_->name(); }
  uint64_t size() const override { return file_->size(); }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    return file_->ReadAt(offset, out);
  }
  Result<std::unique_ptr<ReadQueue>> NewQueue(bool cold) const override {
    ++(cold ? asked_->cold : asked_->warm);
    return std::unique_ptr<ReadQueue>(std::make_unique<Queue>(file_, alignment_));
  }

 private:
  class Queue final : public ReadQueue {
   public:
    Queue(std::shared_ptr<ReadableFile> file, size_t alignment)
        : file_(std::move(file)), alignment_(alignment) {}
    size_t alignment() const override { return alignment_; }
    size_t depth() const override { return 5; }
    Status Start(uint64_t offset, MutableBytes out, uint64_t token) override {
      if (offset % alignment_ != 0 || out.size() % alignment_ != 0 ||
          reinterpret_cast<uintptr_t>(out.data()) % alignment_ != 0 || waiting_.size() == depth()) {
        return Status(Code::kInternal, "a read that breaks the queue's rules");
      }
      waiting_.push_back({offset, out, token});
      return Status::Ok();
    }
    Result<Done> Wait() override {
      if (waiting_.empty()) return Status(Code::kInternal, "nothing to wait for");
      std::swap(waiting_[random_() % waiting_.size()], waiting_.back());
      const Read read = waiting_.back();
      waiting_.pop_back();
      const size_t size = std::min<uint64_t>(read.out.size(), file_->size() - read.offset);
      DCP_RETURN_IF_ERROR(file_->ReadAt(read.offset, read.out.first(size)));
      return Done{read.token, size};
    }

   private:
    struct Read {
      uint64_t offset;
      MutableBytes out;
      uint64_t token;
    };
    std::shared_ptr<ReadableFile> file_;
    const size_t alignment_;
    std::mt19937 random_{7};
    std::vector<Read> waiting_;
  };

  std::shared_ptr<ReadableFile> file_;
  const size_t alignment_;
  const std::shared_ptr<QueuesAsked> asked_;
};

class ShuffledStore final : public Store {
 public:
  ShuffledStore(std::shared_ptr<Store> store, size_t alignment)
      : store_(std::move(store)), alignment_(alignment) {}
  std::string_view location() const override { return store_->location(); }
  Status MakeRoot() override { return store_->MakeRoot(); }
  Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                               const CreateOptions& options) override {
    return store_->Create(path, options);
  }
  Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const override {
    DCP_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, store_->Open(path));
    return std::unique_ptr<ReadableFile>(
        std::make_unique<ShuffledFile>(std::move(file), alignment_, asked_));
  }
  const QueuesAsked& asked() const { return *asked_; }
  Status Rename(std::string_view from, std::string_view to) override {
    return store_->Rename(from, to);
  }
  Status Remove(std::string_view path) override { return store_->Remove(path); }
  Result<std::vector<std::string>> List() const override { return store_->List(); }
  Status SyncFolder() override { return store_->SyncFolder(); }

 private:
  std::shared_ptr<Store> store_;
  const size_t alignment_;
  const std::shared_ptr<QueuesAsked> asked_ = std::make_shared<QueuesAsked>();
};

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_SHUFFLED_STORE_H_
