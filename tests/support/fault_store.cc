#include "support/fault_store.h"

#include <mutex>
#include <optional>
#include <utility>

namespace dcp {

class FaultStore::Script {
 public:
  // What to do about one call.
  struct Verdict {
    Status instead;
    Status after;
    bool left_out = false;
  };

  Verdict Enter(std::string line, Bytes data = {}) {
    std::function<void(size_t, const std::string&)> hook;
    Verdict verdict;
    size_t number;
    {
      std::lock_guard lock(mutex_);
      for (const std::string& prefix : left_out_) {
        if (line.starts_with(prefix)) return {{}, {}, true};
      }
      number = calls_.size();
      for (Fault& fault : faults_) {
        if (!fault.Fits(number, line)) continue;
        fault.spent = fault.times == Times::kOnce;
        (fault.effect == Effect::kInstead ? verdict.instead : verdict.after) = fault.status;
        break;
      }
      bool failed = !verdict.instead.ok() || !verdict.after.ok();
      calls_.push_back({line, keep_data_ ? std::string(AsText(data)) : std::string(), failed});
      hook = hook_;
    }
    if (hook) hook(number, line);
    return verdict;
  }

  struct Fault {
    std::optional<size_t> number;
    std::string prefix;
    Status status;
    Times times;
    Effect effect;
    bool spent = false;

    bool Fits(size_t at, const std::string& line) const {
      if (spent) return false;
      if (number && times == Times::kFromThenOn) return at >= *number;
      return number ? at == *number : line.starts_with(prefix);
    }
  };

  std::mutex mutex_;
  std::vector<Call> calls_;
  std::vector<Fault> faults_;
  std::vector<std::string> left_out_;
  std::function<void(size_t, const std::string&)> hook_;
  bool keep_data_ = false;
};

namespace {

std::string Range(uint64_t offset, uint64_t size) { return fmt::format("{}+{}", offset, size); }

// Makes a call that returns a Status, or a Result, as the verdict says.
template <typename Verdict, typename Make>
auto Obey(const Verdict& verdict, Make make) -> decltype(make()) {
  if (!verdict.instead.ok()) return verdict.instead;
  auto result = make();
  if (!verdict.after.ok()) return verdict.after;
  return result;
}

}  // namespace

class FaultStore::Writer final : public WritableFile {
 public:
  Writer(std::string path, std::unique_ptr<WritableFile> inner, std::shared_ptr<Script> script)
      : path_(std::move(path)), inner_(std::move(inner)), script_(std::move(script)) {}

  ~Writer() override {
    if (!finished_) script_->Enter("abandon " + path_);
  }

  size_t alignment() const override { return inner_->alignment(); }
  size_t depth() const override { return inner_->depth(); }

  Status Start(uint64_t offset, Bytes data, uint64_t token) override {
    auto verdict = script_->Enter("write " + path_ + " " + Range(offset, data.size()), data);
    return Obey(verdict, [&] { return inner_->Start(offset, data, token); });
  }

  Result<uint64_t> Wait() override {
    return Obey(script_->Enter("written " + path_), [&] { return inner_->Wait(); });
  }

  Status Finish(uint64_t size, bool durable) override {
    auto verdict = script_->Enter(
        fmt::format("finish {} {} {}", path_, size, durable ? "durable" : "volatile"));
    Status status =
        Obey(verdict, [&] { return inner_->Finish(size, durable && !verdict.left_out); });
    finished_ = finished_ || status.ok();
    return status;
  }

 private:
  const std::string path_;
  const std::unique_ptr<WritableFile> inner_;
  const std::shared_ptr<Script> script_;
  bool finished_ = false;
};

class FaultStore::Queue final : public ReadQueue {
 public:
  Queue(std::string path, std::unique_ptr<ReadQueue> inner, std::shared_ptr<Script> script)
      : path_(std::move(path)), inner_(std::move(inner)), script_(std::move(script)) {}

  size_t alignment() const override { return inner_->alignment(); }
  size_t depth() const override { return inner_->depth(); }

  Status Start(uint64_t offset, MutableBytes out, uint64_t token) override {
    return Obey(script_->Enter("fetch " + path_ + " " + Range(offset, out.size())),
                [&] { return inner_->Start(offset, out, token); });
  }

  Result<Done> Wait() override {
    return Obey(script_->Enter("fetched " + path_), [&] { return inner_->Wait(); });
  }

 private:
  const std::string path_;
  const std::unique_ptr<ReadQueue> inner_;
  const std::shared_ptr<Script> script_;
};

class FaultStore::Reader final : public ReadableFile {
 public:
  Reader(std::string path, std::unique_ptr<ReadableFile> inner, std::shared_ptr<Script> script)
      : path_(std::move(path)), inner_(std::move(inner)), script_(std::move(script)) {}

  std::string_view name() const override { return inner_->name(); }
  uint64_t size() const override { return inner_->size(); }

  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    return Obey(script_->Enter("read " + path_ + " " + Range(offset, out.size())),
                [&] { return inner_->ReadAt(offset, out); });
  }

  Result<std::unique_ptr<ReadQueue>> NewQueue(bool cold) const override {
    auto queue = Obey(script_->Enter("queue " + path_ + (cold ? " cold" : " warm")),
                      [&] { return inner_->NewQueue(cold); });
    if (!queue.ok()) return queue.status();
    return std::unique_ptr<ReadQueue>(std::make_unique<Queue>(path_, *std::move(queue), script_));
  }

  Result<Mapping> Map(uint64_t offset, uint64_t size) const override {
    return Obey(script_->Enter("map " + path_ + " " + Range(offset, size)),
                [&] { return inner_->Map(offset, size); });
  }

 private:
  const std::string path_;
  const std::unique_ptr<ReadableFile> inner_;
  const std::shared_ptr<Script> script_;
};

FaultStore::FaultStore(std::shared_ptr<Store> inner)
    : inner_(std::move(inner)), script_(std::make_shared<Script>()) {}

FaultStore::~FaultStore() = default;

void FaultStore::FailCall(size_t number, Status status, Times times, Effect effect) {
  std::lock_guard lock(script_->mutex_);
  script_->faults_.push_back({number, "", std::move(status), times, effect, false});
}

void FaultStore::FailLine(std::string prefix, Status status, Times times, Effect effect) {
  std::lock_guard lock(script_->mutex_);
  script_->faults_.push_back(
      {std::nullopt, std::move(prefix), std::move(status), times, effect, false});
}

void FaultStore::LeaveOut(std::string prefix) {
  std::lock_guard lock(script_->mutex_);
  script_->left_out_.push_back(std::move(prefix));
}

void FaultStore::Heal() {
  std::lock_guard lock(script_->mutex_);
  script_->faults_.clear();
  script_->left_out_.clear();
}

void FaultStore::SetHook(std::function<void(size_t, const std::string&)> hook) {
  std::lock_guard lock(script_->mutex_);
  script_->hook_ = std::move(hook);
}

void FaultStore::KeepData(bool keep) {
  std::lock_guard lock(script_->mutex_);
  script_->keep_data_ = keep;
}

std::vector<FaultStore::Call> FaultStore::Calls() const {
  std::lock_guard lock(script_->mutex_);
  return script_->calls_;
}

std::vector<std::string> FaultStore::Lines() const {
  std::vector<std::string> lines;
  for (Call& call : Calls()) lines.push_back(std::move(call.line));
  return lines;
}

size_t FaultStore::call_count() const {
  std::lock_guard lock(script_->mutex_);
  return script_->calls_.size();
}

void FaultStore::ClearCalls() {
  std::lock_guard lock(script_->mutex_);
  script_->calls_.clear();
}

std::string_view FaultStore::location() const { return inner_->location(); }

Status FaultStore::MakeRoot() {
  auto verdict = script_->Enter("make_root");
  if (verdict.left_out) return Status::Ok();
  return Obey(verdict, [&] { return inner_->MakeRoot(); });
}

Result<std::unique_ptr<WritableFile>> FaultStore::Create(std::string_view path,
                                                         const CreateOptions& options) {
  std::string name(path);
  auto file = Obey(script_->Enter("create " + name), [&] { return inner_->Create(path, options); });
  if (!file.ok()) return file.status();
  return std::unique_ptr<WritableFile>(
      std::make_unique<Writer>(std::move(name), *std::move(file), script_));
}

Result<std::unique_ptr<ReadableFile>> FaultStore::Open(std::string_view path) const {
  std::string name(path);
  auto file = Obey(script_->Enter("open " + name), [&] { return inner_->Open(path); });
  if (!file.ok()) return file.status();
  return std::unique_ptr<ReadableFile>(
      std::make_unique<Reader>(std::move(name), *std::move(file), script_));
}

Status FaultStore::Rename(std::string_view from, std::string_view to) {
  auto verdict = script_->Enter(fmt::format("rename {} {}", from, to));
  if (verdict.left_out) return Status::Ok();
  return Obey(verdict, [&] { return inner_->Rename(from, to); });
}

Status FaultStore::Remove(std::string_view path) {
  auto verdict = script_->Enter("remove " + std::string(path));
  if (verdict.left_out) return Status::Ok();
  return Obey(verdict, [&] { return inner_->Remove(path); });
}

Result<std::vector<std::string>> FaultStore::List() const {
  return Obey(script_->Enter("list"), [&] { return inner_->List(); });
}

Status FaultStore::SyncFolder() {
  auto verdict = script_->Enter("sync_folder");
  if (verdict.left_out) return Status::Ok();
  return Obey(verdict, [&] { return inner_->SyncFolder(); });
}

}  // namespace dcp
