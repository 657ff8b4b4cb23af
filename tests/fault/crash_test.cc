// A power cut after every store call of a save. From the recorded calls the folder is rebuilt as a
// disk may hold it: unsynced contents there or not, unsynced names there, not, one alone, or all
// but one. Whoever opens it finds the old checkpoint, the new one, or (when there was none) none.
#include <map>
#include <memory>
#include <sstream>

#include "fault/saves.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"

namespace dcp {
namespace {

struct Inode {
  std::string now;   // what a process sees
  std::string disk;  // what was synced
  bool synced = false;
};

// A change of names. Renames and removals of what is not there do nothing.
struct NameChange {
  enum Kind { kCreate, kRename, kRemove } kind;
  std::string name;
  std::string to;
  std::shared_ptr<Inode> inode;
};

using Names = std::map<std::string, std::shared_ptr<Inode>>;

void Apply(const NameChange& change, Names* names) {
  if (change.kind == NameChange::kCreate) {
    (*names)[change.name] = change.inode;
    return;
  }
  auto found = names->find(change.name);
  if (found == names->end()) return;
  std::shared_ptr<Inode> inode = found->second;
  names->erase(found);
  if (change.kind == NameChange::kRename) (*names)[change.to] = inode;
}

// A folder on a disk, driven by a log of calls.
class Disk {
 public:
  void Call(const FaultStore::Call& call) {
    std::istringstream in(call.line);
    std::string verb, name, rest;
    in >> verb >> name >> rest;
    if (verb == "create") {
      auto inode = std::make_shared<Inode>();
      Change({NameChange::kCreate, name, "", inode});
    } else if (verb == "write") {
      size_t offset = std::stoull(rest);
      std::string& now = names_.at(name)->now;
      if (now.size() < offset + call.data.size()) now.resize(offset + call.data.size());
      now.replace(offset, call.data.size(), call.data);
    } else if (verb == "finish") {
      Inode& inode = *names_.at(name);
      inode.now.resize(std::stoull(rest));
      if (call.line.ends_with(" durable")) {
        inode.disk = inode.now;
        inode.synced = true;
      }
    } else if (verb == "rename") {
      Change({NameChange::kRename, name, rest, nullptr});
    } else if (verb == "remove") {
      Change({NameChange::kRemove, name, "", nullptr});
    } else if (verb == "sync_folder") {
      for (const NameChange& change : pending_) Apply(change, &disk_);
      pending_.clear();
    }
  }

  // Everything there is now survives.
  void SyncAll() {
    disk_ = names_;
    pending_.clear();
    for (auto& [name, inode] : disk_) inode->disk = inode->now, inode->synced = true;
  }

  // Number of folders that Rebuild can give.
  size_t variants() const { return 2 * (2 + 2 * pending_.size()); }

  // `variant` chooses what became of what was not synced.
  std::shared_ptr<Store> Rebuild(size_t variant) const {
    bool contents = variant % 2 == 0;
    size_t which = variant / 2;
    Names names = disk_;
    for (size_t i = 0; i < pending_.size(); ++i) {
      bool there = which == 0 || (which >= 2 && ((which - 2) / 2 == i) == (which % 2 == 0));
      if (there) Apply(pending_[i], &names);
    }
    std::shared_ptr<Store> store = NewMemoryStore();
    for (const auto& [name, inode] : names) {
      // Unsynced contents: all, or the file's old state, which is empty.
      const std::string& bytes = contents && !inode->synced ? inode->now : inode->disk;
      static_cast<void>(WriteWholeFile(*store, name, AsBytes(bytes), false));
    }
    return store;
  }

 private:
  void Change(NameChange change) {
    Apply(change, &names_);
    pending_.push_back(std::move(change));
  }

  Names names_;  // as a process sees them
  Names disk_;   // as synced
  std::vector<NameChange> pending_;
};

struct Tally {
  size_t folders = 0, old_ones = 0, new_ones = 0, none = 0;
};

std::string CrashEverywhere(bool overwriting, int32_t files, bool durable, Tally* tally) {
  FaultStore store(NewMemoryStore());
  store.KeepData(true);
  SaveOptions options;
  options.files = files;
  options.durable = durable;
  Disk disk;
  if (overwriting) {
    CHECK_OK(SaveNumber(store, 1, options, 2));
    for (const FaultStore::Call& call : store.Calls()) disk.Call(call);
    disk.SyncAll();
    store.ClearCalls();
  }
  CHECK_OK(SaveNumber(store, 2, options, 2));
  std::vector<FaultStore::Call> calls = store.Calls();
  bool committed = false;  // on disk for certain: after the last sync of the folder
  size_t last_sync = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].line == "sync_folder") last_sync = i;
  }
  for (size_t at = 0; at <= calls.size(); ++at) {
    for (size_t variant = 0; variant < disk.variants(); ++variant) {
      auto number = NumberIn(disk.Rebuild(variant), 2);
      ++tally->folders;
      std::string where = fmt::format("before call {} ({}), variant {}", at,
                                      at < calls.size() ? calls[at].line : "the end", variant);
      if (!number.ok()) return where + ": " + number.status().ToString();
      if (!number->has_value()) {
        if (overwriting) return where + ": the old checkpoint is lost";
        ++tally->none;
      } else {
        ++(**number == 2 ? tally->new_ones : tally->old_ones);
      }
      if (committed && *number != 2) return where + ": the committed checkpoint is lost";
    }
    if (at < calls.size()) disk.Call(calls[at]);
    committed = durable && at >= last_sync;
  }
  return {};
}

std::string OldOrNewOrNone() {
  Tally tally;
  for (bool overwriting : {false, true}) {
    for (int32_t files : {1, 2}) {
      std::string wrong = CrashEverywhere(overwriting, files, true, &tally);
      if (!wrong.empty()) return wrong;
    }
  }
  print_message("%zu folders after a power cut: %zu old, %zu new, %zu not committed\n",
                tally.folders, tally.old_ones, tally.new_ones, tally.none);
  CHECK_THAT(tally.old_ones > 0 && tally.new_ones > 0 && tally.none > 0);
  return {};
}

// The same without syncs goes wrong: the rebuilding notices.
std::string WithoutSyncsItIsNoticed() {
  Tally tally;
  CHECK_THAT(!CrashEverywhere(true, 1, false, &tally).empty());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::OldOrNewOrNone>),
      cmocka_unit_test(dcp::Checked<dcp::WithoutSyncsItIsNoticed>),
  };
  return cmocka_run_group_tests_name("fault/crash", tests, nullptr, nullptr);
}
