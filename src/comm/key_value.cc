#include "comm/key_value.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "comm/message_bytes.h"

namespace dcp {
namespace {

class KeyValueTransport final : public Transport {
 public:
  KeyValueTransport(std::shared_ptr<KeyValueStore> store, std::string prefix, int32_t rank,
                    int32_t world_size)
      : store_(std::move(store)),
        prefix_(std::move(prefix)),
        rank_(rank),
        world_size_(world_size),
        peers_(static_cast<size_t>(world_size)) {}

  int32_t rank() const override { return rank_; }
  int32_t world_size() const override { return world_size_; }

  // The parts behind the first are there before it.
  Status Send(int32_t to, Message message, Deadline deadline) override {
    const uint64_t number = peers_[static_cast<size_t>(to)].sent++;
    const std::string bytes = EncodeMessage(std::move(message));
    const size_t most = store_->most_bytes();
    std::string first = EncodeSize(bytes.size());
    const size_t in_first = std::min(bytes.size(), most - first.size());
    for (size_t at = in_first, part = 1; at < bytes.size(); at += most, ++part) {
      DCP_RETURN_IF_ERROR(
          store_->Set(Key(rank_, to, number, part), bytes.substr(at, most), deadline));
    }
    first.append(bytes, 0, in_first);
    return store_->Set(Key(rank_, to, number, 0), std::move(first), deadline);
  }

  Result<std::optional<Message>> Receive(int32_t from, Deadline deadline) override {
    uint64_t& number = peers_[static_cast<size_t>(from)].received;
    const std::string key = Key(from, rank_, number, 0);
    DCP_ASSIGN_OR_RETURN(std::optional<std::string> value, store_->Get(key, deadline));
    if (!value) return std::optional<Message>();
    uint64_t size = 0;
    if (!DecodeSize(*value, &size)) return Malformed(from);
    std::string bytes = value->substr(kSizeBytes);
    for (size_t part = 1; bytes.size() < size; ++part) {
      const std::string part_key = Key(from, rank_, number, part);
      DCP_ASSIGN_OR_RETURN(std::optional<std::string> more, store_->Get(part_key, Deadline::Now()));
      if (!more || more->empty()) return Malformed(from);
      bytes += *more;
      DCP_RETURN_IF_ERROR(store_->Remove(part_key));
    }
    DCP_RETURN_IF_ERROR(store_->Remove(key));
    ++number;
    std::optional<Message> message;
    if (bytes.size() == size) message = DecodeMessage(std::move(bytes));
    if (!message) return Malformed(from);
    return message;
  }

 private:
  std::string Key(int32_t from, int32_t to, uint64_t number, size_t part) const {
    if (part == 0) return fmt::format("{}/{}/{}/{}", prefix_, from, to, number);
    return fmt::format("{}/{}/{}/{}.{}", prefix_, from, to, number, part);
  }
  Status Malformed(int32_t from) const {
    return Error(Code::kCorrupt,
                 "what rank {} left under '{}' cannot be read: is the prefix this group's own, and "
                 "new?",
                 from, prefix_);
  }

  struct Peer {
    uint64_t sent = 0;
    uint64_t received = 0;
  };
  const std::shared_ptr<KeyValueStore> store_;
  const std::string prefix_;
  const int32_t rank_;
  const int32_t world_size_;
  std::vector<Peer> peers_;
};

}  // namespace

std::shared_ptr<Transport> NewKeyValueTransport(std::shared_ptr<KeyValueStore> store,
                                                std::string prefix, int32_t rank,
                                                int32_t world_size) {
  return std::make_shared<KeyValueTransport>(std::move(store), std::move(prefix), rank, world_size);
}

}  // namespace dcp
