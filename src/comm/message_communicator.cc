#include "comm/message_communicator.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "comm/pack.h"

namespace dcp {
namespace {

using Buffers = std::vector<std::string>;
using Clock = Deadline::Clock;

enum class Operation : uint8_t { kGather = 1, kScatter, kBroadcast, kAllGather, kBarrier };

std::string_view NameOf(uint8_t operation) {
  switch (static_cast<Operation>(operation)) {
    case Operation::kGather:
      return "gather";
    case Operation::kScatter:
      return "scatter";
    case Operation::kBroadcast:
      return "broadcast";
    case Operation::kAllGather:
      return "all-gather";
    case Operation::kBarrier:
      return "barrier";
  }
  return "another call";
}

constexpr int kSlices = 20;     // of a silence, in which the others are not looked at
constexpr int kBeats = 4;       // a silence holds so many signs of life
constexpr int32_t kCenter = 0;  // of calls without a root
constexpr std::chrono::milliseconds kGrace{300};  // for ranks that went missing together

class MessageCommunicator final : public Communicator {
 public:
  explicit MessageCommunicator(std::shared_ptr<Transport> transport)
      : transport_(std::move(transport)) {}

  int32_t rank() const override { return transport_->rank(); }
  int32_t world_size() const override { return transport_->world_size(); }

  Result<Gathered> Gather(std::string bytes, int32_t root, Silence silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    Begin(Operation::kGather);
    if (rank() == root) return Collect(std::move(bytes), silence);
    DCP_RETURN_IF_ERROR(Send(root, std::move(bytes), silence));
    return Gathered();
  }

  Result<std::string> Scatter(Buffers parts, int32_t root, Silence silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    if (rank() == root && parts.size() != static_cast<size_t>(world_size())) {
      return Error(Code::kInvalidArgument, "scatter of {} parts to {} ranks", parts.size(),
                   world_size());
    }
    Begin(Operation::kScatter);
    if (rank() != root) return Await(root, silence);
    DCP_RETURN_IF_ERROR(
        SendAll(silence, [&](int32_t to) { return std::move(parts[static_cast<size_t>(to)]); }));
    return std::move(parts[static_cast<size_t>(root)]);
  }

  Result<std::string> Broadcast(std::string bytes, int32_t root, Silence silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    Begin(Operation::kBroadcast);
    if (rank() != root) return Await(root, silence);
    DCP_RETURN_IF_ERROR(SendAll(silence, [&](int32_t) { return bytes; }));
    return bytes;
  }

  Result<Buffers> AllGather(std::string bytes, Silence silence) override {
    Begin(Operation::kAllGather);
    return Exchange(std::move(bytes), silence);
  }

  Status Barrier(Silence silence) override {
    Begin(Operation::kBarrier);
    return Exchange(std::string(), silence).status();
  }

  void StillHere(int32_t root, Silence silence) override {
    if (silence.count() < 0 || root < 0 || root >= world_size()) return;
    const Clock::rep now = Clock::now().time_since_epoch().count();
    const Clock::rep pause = Clock::duration(silence).count() / kBeats;
    Clock::rep last = last_beat_.load(std::memory_order_relaxed);
    if (now - last < pause || !last_beat_.compare_exchange_strong(last, now)) return;
    const std::unique_lock lock(beat_mutex_,
                                std::try_to_lock);  // the beats of another thread serve
    if (!lock.owns_lock()) return;
    if (rank() != root) {
      Beat(root);
      return;
    }
    for (int32_t to = 0; to < world_size(); ++to) {
      if (to != rank()) Beat(to);
    }
  }

 private:
  void Begin(Operation operation) {
    ++sequence_;
    operation_ = static_cast<uint8_t>(operation);
  }
  std::string_view name() const { return NameOf(operation_); }

  static Deadline DeadlineOf(Silence silence) {
    return Deadline::FromMilliseconds(silence.count());
  }

  // A failure names `to`, unless it names others already.
  Status Send(int32_t to, std::string bytes, Silence silence) {
    Message message{sequence_, operation_, Message::Kind::kData, std::move(bytes)};
    return Blame(to, transport_->Send(to, std::move(message), DeadlineOf(silence)));
  }
  Status Blame(int32_t other, Status status) const {
    if (status.ok() || !status.rank_failures().empty()) return status;
    return FailedRanksError({{other, "", std::move(status)}}, world_size(), name());
  }
  // Whether it arrives is of no consequence.
  void Beat(int32_t to) {
    (void)transport_->Send(to, Message{0, 0, Message::Kind::kStillHere, ""}, Deadline::Now());
  }

  // Sends to all others. One that cannot be reached does not keep the rest from being told, nor
  // from what follows: it will be missed.
  template <typename PartOf>
  Status SendAll(Silence silence, const PartOf& part_of) {
    const Silence pause = silence.count() < 0 ? silence : silence / kBeats;
    for (int32_t to = 0; to < world_size(); ++to) {
      if (to == rank()) continue;
      Message message{sequence_, operation_, Message::Kind::kData, part_of(to)};
      const Status sent = transport_->Send(to, std::move(message), DeadlineOf(pause));
      if (!sent.ok() && !sent.rank_failures().empty()) return sent;  // the medium is lost
    }
    return Status::Ok();
  }

  // Data of this call; nothing for what is no such message.
  Result<std::optional<std::string>> Take(int32_t from, Message message) const {
    if (message.sequence < sequence_) return std::optional<std::string>();  // given up by now
    if (message.sequence > sequence_ || message.operation != operation_) {
      return Error(Code::kInvalidArgument,
                   "rank {} is in its {}th call, {}, but rank {} in its {}th, {}: all ranks make "
                   "the same calls in the same order",
                   from, message.sequence, NameOf(message.operation), rank(), sequence_, name());
    }
    return std::optional<std::string>(std::move(message.body));
  }

  // The message of `root`, which is missing when it says nothing.
  Result<std::string> Await(int32_t root, Silence silence) {
    Deadline deadline = DeadlineOf(silence);
    for (;;) {
      Result<std::optional<Message>> received = transport_->Receive(root, deadline);
      if (!received.ok()) return Blame(root, received.status());
      if (!*received) {
        return FailedRanksError({MissingRank(root, silence)}, world_size(), name());
      }
      Message message = **std::move(received);
      if (message.kind == Message::Kind::kStillHere) {
        deadline = DeadlineOf(silence);
        continue;
      }
      DCP_ASSIGN_OR_RETURN(std::optional<std::string> body, Take(root, std::move(message)));
      if (body) return *std::move(body);
    }
  }

  // One buffer of every rank, this one's being `own`.
  Result<Gathered> Collect(std::string own, Silence silence) {
    Gathered gathered;
    gathered.buffers.resize(static_cast<size_t>(world_size()));
    gathered.buffers[static_cast<size_t>(rank())] = std::move(own);
    DCP_RETURN_IF_ERROR(Collection(this, &gathered, silence).Run());
    return gathered;
  }

  class Collection {
   public:
    Collection(MessageCommunicator* comm, Gathered* out, Silence silence)
        : comm_(*comm), out_(*out), silence_(silence) {
      const Clock::time_point now = Clock::now();
      for (int32_t rank = 0; rank < comm_.world_size(); ++rank) {
        if (rank != comm_.rank()) pending_.push_back({rank, now});
      }
      next_beat_ = now + silence_ / kBeats;
    }

    // Fails when the medium does, or when a rank is in another call.
    Status Run() {
      while (!pending_.empty()) {
        Beat();
        const Deadline slice =
            silence_.count() < 0 ? Deadline::Never() : Deadline::After(silence_ / kSlices);
        DCP_ASSIGN_OR_RETURN(const bool any, Receive(&pending_.front(), slice));
        if (!any) {
          for (Pending& pending : pending_) {
            DCP_RETURN_IF_ERROR(Receive(&pending, Deadline::Now()).status());
          }
          if (GiveUp()) break;
        }
        std::erase_if(pending_, [](const Pending& pending) { return pending.done; });
      }
      return Status::Ok();
    }

   private:
    struct Pending {
      int32_t rank;
      Clock::time_point heard;
      bool done = false;
    };

    // True when something came.
    Result<bool> Receive(Pending* pending, Deadline deadline) {
      if (pending->done) return true;
      bool any = false;
      for (;;) {
        Result<std::optional<Message>> received =
            comm_.transport_->Receive(pending->rank, any ? Deadline::Now() : deadline);
        if (!received.ok()) {
          // A store that is lost names its host; else it is the sender that cannot be heard.
          if (!received.status().rank_failures().empty()) return received.status();
          Fail(pending, received.status());
          return true;
        }
        if (!*received) return any;
        any = true;
        Message message = **std::move(received);
        if (message.kind == Message::Kind::kStillHere) {
          pending->heard = Clock::now();
          continue;
        }
        DCP_ASSIGN_OR_RETURN(std::optional<std::string> body,
                             comm_.Take(pending->rank, std::move(message)));
        if (!body) continue;
        out_.buffers[static_cast<size_t>(pending->rank)] = *std::move(body);
        pending->done = true;
        arrived_.push_back(pending->rank);
        return true;
      }
    }

    void Fail(Pending* pending, const Status& status) {
      pending->done = true;
      out_.failed.push_back({pending->rank, "", status});
    }

    // True when some have been silent for too long. Those that went missing together are to be
    // named together, so that it takes a little longer while others nearly have.
    bool GiveUp() {
      if (silence_.count() < 0) return false;
      const Clock::time_point now = Clock::now();
      bool missing = false, nearly = false;
      for (const Pending& pending : pending_) {
        if (pending.done) continue;
        const auto silent = now - pending.heard;
        missing = missing || silent >= silence_;
        nearly = nearly || (silent < silence_ && silent >= silence_ - kGrace);
      }
      if (!missing) return false;
      if (!first_missing_) first_missing_ = now;
      if (nearly && now - *first_missing_ < kGrace) return false;
      for (Pending& pending : pending_) {
        if (pending.done || now - pending.heard < silence_) continue;
        pending.done = true;
        out_.failed.push_back(MissingRank(pending.rank, silence_));
      }
      return true;
    }

    // Those that have come wait for what follows.
    void Beat() {
      if (silence_.count() < 0 || Clock::now() < next_beat_) return;
      for (const int32_t rank : arrived_) comm_.Beat(rank);
      next_beat_ = Clock::now() + silence_ / kBeats;
    }

    MessageCommunicator& comm_;
    Gathered& out_;
    const Silence silence_;
    std::vector<Pending> pending_;
    std::vector<int32_t> arrived_;
    Clock::time_point next_beat_;
    std::optional<Clock::time_point> first_missing_;
  };

  // Every rank gets what all gave, or hears which are missing.
  Result<Buffers> Exchange(std::string bytes, Silence silence) {
    if (rank() != kCenter) {
      DCP_RETURN_IF_ERROR(Send(kCenter, std::move(bytes), silence));
      DCP_ASSIGN_OR_RETURN(const std::string answer, Await(kCenter, silence));
      return UnpackVerdict(answer, world_size(), name());
    }
    DCP_ASSIGN_OR_RETURN(Gathered gathered, Collect(std::move(bytes), silence));
    const std::string verdict = PackVerdict(gathered);
    const Status told = SendAll(silence, [&](int32_t) { return verdict; });
    if (!gathered.failed.empty()) {
      return FailedRanksError(std::move(gathered.failed), world_size(), name());
    }
    DCP_RETURN_IF_ERROR(told);
    return std::move(gathered.buffers);
  }

  const std::shared_ptr<Transport> transport_;
  uint64_t sequence_ = 0;
  uint8_t operation_ = 0;
  std::atomic<Clock::rep> last_beat_{0};
  std::mutex beat_mutex_;
};

}  // namespace

std::unique_ptr<Communicator> NewMessageCommunicator(std::shared_ptr<Transport> transport) {
  return std::make_unique<MessageCommunicator>(std::move(transport));
}

}  // namespace dcp
