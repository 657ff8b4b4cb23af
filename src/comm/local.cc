#include "comm/local.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "comm/message_communicator.h"

namespace dcp {
namespace {

// What was sent to one rank and not received yet.
class Mailbox {
 public:
  explicit Mailbox(size_t senders) : boxes_(senders) {}

  void Put(size_t from, Message message) {
    const std::lock_guard lock(mutex_);
    boxes_[from].messages.push_back(std::move(message));
    changed_.notify_all();
  }

  void Leave(size_t from) {
    const std::lock_guard lock(mutex_);
    boxes_[from].left = true;
    changed_.notify_all();
  }

  Result<std::optional<Message>> Take(size_t from, Deadline deadline) {
    std::unique_lock lock(mutex_);
    Box& box = boxes_[from];
    const auto there = [&] { return !box.messages.empty() || box.left; };
    if (deadline.never()) {
      changed_.wait(lock, there);
    } else if (!changed_.wait_until(lock, deadline.at(), there)) {
      return std::optional<Message>();
    }
    if (box.messages.empty()) {
      return Error(Code::kRankFailed, "rank {} has left the group", from);
    }
    std::optional<Message> message = std::move(box.messages.front());
    box.messages.pop_front();
    return message;
  }

 private:
  struct Box {
    std::deque<Message> messages;
    bool left = false;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Box> boxes_;
};

using Mailboxes = std::vector<std::unique_ptr<Mailbox>>;

class LocalTransport final : public Transport {
 public:
  LocalTransport(std::shared_ptr<Mailboxes> all, int32_t rank)
      : all_(std::move(all)), rank_(rank) {}
  ~LocalTransport() override {
    for (auto& mailbox : *all_) mailbox->Leave(static_cast<size_t>(rank_));
  }

  int32_t rank() const override { return rank_; }
  int32_t world_size() const override { return static_cast<int32_t>(all_->size()); }

  Status Send(int32_t to, Message message, Deadline) override {
    (*all_)[static_cast<size_t>(to)]->Put(static_cast<size_t>(rank_), std::move(message));
    return Status::Ok();
  }
  Result<std::optional<Message>> Receive(int32_t from, Deadline deadline) override {
    return (*all_)[static_cast<size_t>(rank_)]->Take(static_cast<size_t>(from), deadline);
  }

 private:
  const std::shared_ptr<Mailboxes> all_;
  const int32_t rank_;
};

}  // namespace

std::vector<std::shared_ptr<Transport>> NewLocalTransports(int32_t world_size) {
  const auto count = static_cast<size_t>(world_size);
  auto all = std::make_shared<Mailboxes>();
  for (size_t i = 0; i < count; ++i) all->push_back(std::make_unique<Mailbox>(count));
  std::vector<std::shared_ptr<Transport>> ranks;
  for (int32_t rank = 0; rank < world_size; ++rank) {
    ranks.push_back(std::make_shared<LocalTransport>(all, rank));
  }
  return ranks;
}

std::vector<std::unique_ptr<Communicator>> NewLocalCommunicators(int32_t world_size) {
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (std::shared_ptr<Transport>& transport : NewLocalTransports(world_size)) {
    ranks.push_back(NewMessageCommunicator(std::move(transport)));
  }
  return ranks;
}

}  // namespace dcp
