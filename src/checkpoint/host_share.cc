#include "checkpoint/host_share.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "comm/wire_codec.h"

namespace dcp {
namespace {

constexpr uint64_t kVersion = 1;           // of the table in the memory
constexpr uint64_t kWorthwhile = 8 << 20;  // bytes: for less the memory is not made

// The running system and its process numbers: within one, a process finds another's memory.
std::string HostName() {
  std::string name(64, '\0');
  const int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  const ssize_t got = read(file, name.data(), name.size());
  close(file);
  struct stat processes {};
  if (got <= 0 || stat("/proc/self/ns/pid", &processes) != 0) return {};
  name.resize(static_cast<size_t>(got));
  return fmt::format("{}{}", name, processes.st_ino);
}

const std::string& ThisHost() {
  static const std::string name = HostName();
  return name;
}

struct Maker {
  std::string host;
  SharedMemory::Name name;
};

void Write(const Maker& maker, WireWriter* out) {
  out->Text(maker.host);
  out->Signed(maker.name.process);
  out->Signed(maker.name.descriptor);
  out->Number(maker.name.device);
  out->Number(maker.name.inode);
}

Maker ReadMaker(WireReader* in) {
  Maker maker;
  maker.host = in->Text();
  maker.name.process = in->Signed();
  maker.name.descriptor = static_cast<int32_t>(in->Signed());
  maker.name.device = in->Number();
  maker.name.inode = in->Number();
  return maker;
}

}  // namespace

bool ReadsMuchForOthers(const LoadPlan& plan, const Metadata& metadata) {
  uint64_t much = 0;
  for (const ReadItem& item : plan.items) {
    if (item.kind != EntryKind::kTensor) continue;
    const Entry& entry = metadata.entries[item.entry];
    const Dims sizes = entry.chunk(item.chunk).sizes;
    const Dims lengths = plan.lengths(item);
    // The first dimension's rows lie one after another: what is left out there is not read.
    uint64_t read = static_cast<uint64_t>(DTypeSize(entry.properties.dtype));
    uint64_t wanted = read;
    for (size_t i = 0; i < sizes.size(); ++i) {
      read *= static_cast<uint64_t>(i == 0 ? lengths[i] : sizes[i]);
      wanted *= static_cast<uint64_t>(lengths[i]);
    }
    if (wanted < read / 2) much += read;
  }
  return much >= kWorthwhile;
}

std::string HostShare::Offer() {
  const std::string& host = ThisHost();
  if (host.empty()) return {};
  Result<std::shared_ptr<SharedMemory>> made = SharedMemory::Create(SharedPieces::kMemoryBytes);
  if (!made.ok()) return {};
  own_ = *std::move(made);
  WireWriter out;
  out.Number(kVersion);
  Write({host, own_->name()}, &out);
  return out.Take();
}

std::string HostShare::Choose(const std::vector<std::string>& offers) {
  struct Host {
    Maker first;
    size_t ranks = 0;
  };
  std::map<std::string, Host> hosts;
  for (const std::string& offer : offers) {
    WireReader in(offer);
    if (in.Number() != kVersion) continue;
    Maker maker = ReadMaker(&in);
    if (!in.complete()) continue;
    Host& host = hosts[maker.host];
    if (host.ranks++ == 0) host.first = std::move(maker);
  }
  std::erase_if(hosts, [](const auto& host) { return host.second.ranks < 2; });
  if (hosts.empty()) return {};
  WireWriter out;
  out.Number(kVersion);
  out.Number(hosts.size());
  for (const auto& [name, host] : hosts) {
    out.Number(host.ranks);
    Write(host.first, &out);
  }
  return out.Take();
}

std::unique_ptr<SharedPieces> HostShare::Join(std::string_view chosen) {
  if (own_ == nullptr) return nullptr;
  WireReader in(chosen);
  if (in.Number() != kVersion) return nullptr;
  for (size_t left = in.Count(6); left > 0 && in.ok(); --left) {
    const auto ranks = static_cast<uint32_t>(in.Number(UINT32_MAX));
    const Maker maker = ReadMaker(&in);
    if (!in.ok() || maker.host != ThisHost()) continue;
    if (maker.name.device == own_->name().device && maker.name.inode == own_->name().inode) {
      return std::make_unique<SharedPieces>(own_, ranks);
    }
    Result<std::shared_ptr<SharedMemory>> opened =
        SharedMemory::Open(maker.name, SharedPieces::kMemoryBytes);
    return opened.ok() ? std::make_unique<SharedPieces>(*std::move(opened), ranks) : nullptr;
  }
  return nullptr;
}

}  // namespace dcp
