#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "c_api/communicator.h"
#include "comm/message_bytes.h"
#include "comm/pack.h"

namespace dcp::c_api {
namespace {

// What a callback gives, by rank.
class Given {
 public:
  explicit Given(int32_t world_size) : buffers_(static_cast<size_t>(world_size)) {}

  static void Add(void* sink, int32_t rank, const void* data, size_t size) {
    auto* self = static_cast<Given*>(sink);
    try {
      if (rank < 0 || static_cast<size_t>(rank) >= self->buffers_.size()) {
        self->failure_ = Error(Code::kCallback, "a callback gave a buffer of rank {} of {}", rank,
                               self->buffers_.size());
        return;
      }
      self->buffers_[static_cast<size_t>(rank)] =
          std::string(static_cast<const char*>(data), data == nullptr ? 0 : size);
    } catch (...) {
      self->failure_ = Status(Code::kOutOfMemory, "no memory for what a callback gave");
    }
  }

  const Status& failure() const { return failure_; }
  std::vector<std::optional<std::string>>& buffers() { return buffers_; }

  // The only one that was given.
  Result<std::string> TakeOne(const char* what) {
    DCP_RETURN_IF_ERROR(failure_);
    for (std::optional<std::string>& buffer : buffers_) {
      if (buffer) return *std::move(buffer);
    }
    return Error(Code::kCallback, "callback {} gave nothing", what);
  }

 private:
  std::vector<std::optional<std::string>> buffers_;
  Status failure_;
};

template <typename Table>
class Callbacks {
 public:
  Callbacks(const Table& table, std::shared_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}
  const Table& table() const { return table_; }
  void* user() const { return data_->get(); }

 private:
  const Table table_;
  const std::shared_ptr<UserData> data_;
};

class TableCommunicator final : public Communicator {
 public:
  TableCommunicator(const dcp_communicator_table& table, std::shared_ptr<UserData> data,
                    int32_t rank, int32_t world_size)
      : callbacks_(table, std::move(data)), rank_(rank), world_size_(world_size) {}

  int32_t rank() const override { return rank_; }
  int32_t world_size() const override { return world_size_; }

  Result<Gathered> Gather(std::string bytes, int32_t root, Silence silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    Given given(world_size_);
    dcp_error* error = nullptr;
    const dcp_status code =
        callbacks_.table().gather(callbacks_.user(), bytes.data(), bytes.size(), root,
                                  silence.count(), &Given::Add, &given, &error);
    const Status status = FromCallback(code, error, "communicator gather");
    DCP_RETURN_IF_ERROR(given.failure());
    Gathered gathered;
    if (rank_ != root) return status.ok() ? Result<Gathered>(std::move(gathered)) : status;
    gathered.failed = status.rank_failures();
    if (!status.ok() && gathered.failed.empty()) return status;
    for (std::optional<std::string>& buffer : given.buffers()) {
      gathered.buffers.push_back(std::move(buffer).value_or(std::string()));
    }
    if (!status.ok()) return gathered;
    for (size_t i = 0; i < given.buffers().size(); ++i) {
      if (given.buffers()[i]) continue;
      return Error(Code::kCallback, "callback communicator gather gave nothing of rank {}", i);
    }
    return gathered;
  }

  Result<std::string> Scatter(std::vector<std::string> parts, int32_t root,
                              Silence silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    std::vector<dcp_buffer> buffers;
    if (rank_ == root) {
      if (parts.size() != static_cast<size_t>(world_size_)) {
        return Error(Code::kInvalidArgument, "scatter of {} parts to {} ranks", parts.size(),
                     world_size_);
      }
      for (const std::string& part : parts) buffers.push_back({part.data(), part.size()});
    }
    Given given(world_size_);
    dcp_error* error = nullptr;
    const dcp_status code =
        callbacks_.table().scatter(callbacks_.user(), rank_ == root ? buffers.data() : nullptr,
                                   root, silence.count(), &Given::Add, &given, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "communicator scatter"));
    return given.TakeOne("communicator scatter");
  }

  Result<std::string> Broadcast(std::string bytes, int32_t root, Silence silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    Given given(world_size_);
    dcp_error* error = nullptr;
    const dcp_status code =
        callbacks_.table().broadcast(callbacks_.user(), bytes.data(), bytes.size(), root,
                                     silence.count(), &Given::Add, &given, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "communicator broadcast"));
    if (rank_ == root) return bytes;
    return given.TakeOne("communicator broadcast");
  }

  Result<std::vector<std::string>> AllGather(std::string bytes, Silence silence) override {
    if (callbacks_.table().all_gather == nullptr) return GatherAndTell(std::move(bytes), silence);
    Given given(world_size_);
    dcp_error* error = nullptr;
    const dcp_status code =
        callbacks_.table().all_gather(callbacks_.user(), bytes.data(), bytes.size(),
                                      silence.count(), &Given::Add, &given, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "communicator all_gather"));
    DCP_RETURN_IF_ERROR(given.failure());
    std::vector<std::string> all;
    for (std::optional<std::string>& buffer : given.buffers()) {
      if (!buffer) {
        return Error(Code::kCallback, "callback communicator all_gather gave nothing of rank {}",
                     all.size());
      }
      all.push_back(*std::move(buffer));
    }
    return all;
  }

  // As an all_gather of the table would.
  Result<std::vector<std::string>> GatherAndTell(std::string bytes, Silence silence) {
    DCP_ASSIGN_OR_RETURN(const Gathered gathered, Gather(std::move(bytes), 0, silence));
    DCP_ASSIGN_OR_RETURN(const std::string verdict,
                         Broadcast(rank_ == 0 ? PackVerdict(gathered) : "", 0, silence));
    return UnpackVerdict(verdict, world_size_, "all-gather");
  }

  Status Barrier(Silence silence) override {
    if (callbacks_.table().barrier == nullptr) return AllGather("", silence).status();
    dcp_error* error = nullptr;
    const dcp_status code = callbacks_.table().barrier(callbacks_.user(), silence.count(), &error);
    return FromCallback(code, error, "communicator barrier");
  }

  void StillHere(int32_t root, Silence silence) override {
    if (callbacks_.table().still_here == nullptr) return;
    callbacks_.table().still_here(callbacks_.user(), root, silence.count());
  }

 private:
  const Callbacks<dcp_communicator_table> callbacks_;
  const int32_t rank_;
  const int32_t world_size_;
};

// Until `deadline`, at least 0.
int64_t Left(Deadline deadline) {
  if (deadline.never()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline.at() - Deadline::Clock::now());
  return left.count() < 0 ? 0 : left.count();
}

// Of a callback that gives something or ends with DCP_TIMEOUT; another rank's time is a failure.
Result<std::optional<std::string>> GivenInTime(dcp_status code, dcp_error* error, Given* given,
                                               const char* what) {
  const Status status = FromCallback(code, error, what);
  if (status.code() == Code::kTimeout && status.rank_failures().empty()) {
    return std::optional<std::string>();
  }
  DCP_RETURN_IF_ERROR(status);
  DCP_ASSIGN_OR_RETURN(std::string bytes, given->TakeOne(what));
  return std::optional<std::string>(std::move(bytes));
}

class TableTransport final : public Transport {
 public:
  TableTransport(const dcp_message_table& table, std::shared_ptr<UserData> data, int32_t rank,
                 int32_t world_size)
      : callbacks_(table, std::move(data)), rank_(rank), world_size_(world_size) {}

  int32_t rank() const override { return rank_; }
  int32_t world_size() const override { return world_size_; }

  Status Send(int32_t to, Message message, Deadline deadline) override {
    const std::string bytes = EncodeMessage(std::move(message));
    dcp_error* error = nullptr;
    const dcp_status code = callbacks_.table().send(callbacks_.user(), to, bytes.data(),
                                                    bytes.size(), Left(deadline), &error);
    return FromCallback(code, error, "communicator send");
  }

  Result<std::optional<Message>> Receive(int32_t from, Deadline deadline) override {
    Given given(world_size_);
    dcp_error* error = nullptr;
    const dcp_status code = callbacks_.table().receive(callbacks_.user(), from, Left(deadline),
                                                       &Given::Add, &given, &error);
    DCP_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                         GivenInTime(code, error, &given, "communicator receive"));
    if (!bytes) return std::optional<Message>();
    std::optional<Message> message = DecodeMessage(*std::move(bytes));
    if (!message) {
      return Error(Code::kCorrupt, "what rank {} sent is no message of this library", from);
    }
    return message;
  }

 private:
  const Callbacks<dcp_message_table> callbacks_;
  const int32_t rank_;
  const int32_t world_size_;
};

class TableKeyValueStore final : public KeyValueStore {
 public:
  TableKeyValueStore(const dcp_key_value_table& table, std::shared_ptr<UserData> data)
      : callbacks_(table, std::move(data)) {}

  Status Set(const std::string& key, std::string value, Deadline deadline) override {
    dcp_error* error = nullptr;
    const dcp_status code = callbacks_.table().set(callbacks_.user(), key.c_str(), value.data(),
                                                   value.size(), Left(deadline), &error);
    return FromCallback(code, error, "key-value set");
  }
  Result<std::optional<std::string>> Get(const std::string& key, Deadline deadline) override {
    Given given(1);
    dcp_error* error = nullptr;
    const dcp_status code = callbacks_.table().get(callbacks_.user(), key.c_str(), Left(deadline),
                                                   &Given::Add, &given, &error);
    return GivenInTime(code, error, &given, "key-value get");
  }
  Status Remove(const std::string& key) override {
    dcp_error* error = nullptr;
    const dcp_status code = callbacks_.table().remove(callbacks_.user(), key.c_str(), &error);
    return FromCallback(code, error, "key-value remove");
  }

 private:
  const Callbacks<dcp_key_value_table> callbacks_;
};

}  // namespace

std::unique_ptr<Communicator> NewTableCommunicator(const dcp_communicator_table& table,
                                                   std::shared_ptr<UserData> data, int32_t rank,
                                                   int32_t world_size) {
  return std::make_unique<TableCommunicator>(table, std::move(data), rank, world_size);
}

std::shared_ptr<Transport> NewTableTransport(const dcp_message_table& table,
                                             std::shared_ptr<UserData> data, int32_t rank,
                                             int32_t world_size) {
  return std::make_shared<TableTransport>(table, std::move(data), rank, world_size);
}

std::shared_ptr<KeyValueStore> NewTableKeyValueStore(const dcp_key_value_table& table,
                                                     std::shared_ptr<UserData> data) {
  return std::make_shared<TableKeyValueStore>(table, std::move(data));
}

}  // namespace dcp::c_api
