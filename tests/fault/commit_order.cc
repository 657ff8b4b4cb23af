#include "fault/commit_order.h"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

namespace dcp {
namespace {

bool IsTemporary(std::string_view name) {
  return name.starts_with(".metadata.") && name.ends_with(".tmp");
}

std::vector<std::string> Words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

struct File {
  size_t created = 0;
  std::optional<size_t> last_write;
  std::optional<size_t> synced;  // the finish, when durable
};

struct Log {
  std::map<std::string, File> files;
  std::vector<size_t> folder_syncs;
  std::vector<size_t> renames;
  std::vector<size_t> removals;
};

Log Parse(const std::vector<std::string>& lines) {
  Log log;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::vector<std::string> words = Words(lines[i]);
    if (words[0] == "create") log.files[words[1]] = {i, {}, {}};
    if (words[0] == "write" || words[0] == "written") log.files[words[1]].last_write = i;
    if (words[0] == "finish" && words[3] == "durable") log.files[words[1]].synced = i;
    if (words[0] == "sync_folder") log.folder_syncs.push_back(i);
    if (words[0] == "rename") log.renames.push_back(i);
    if (words[0] == "remove") log.removals.push_back(i);
  }
  return log;
}

bool AnyBetween(const std::vector<size_t>& places, size_t after, size_t before) {
  return std::any_of(places.begin(), places.end(),
                     [&](size_t at) { return at > after && at < before; });
}

}  // namespace

std::string CheckCommitOrder(const std::vector<std::string>& lines) {
  Log log = Parse(lines);
  if (log.renames.size() != 1) return "not exactly one rename";
  const size_t rename = log.renames[0];
  const std::vector<std::string> words = Words(lines[rename]);
  const std::string temporary = words[1];
  if (!IsTemporary(temporary) || words[2] != ".metadata") return "the rename is not the metadata's";
  if (!log.files.contains(temporary)) return "the metadata was not written";
  size_t data_synced = 0;  // the last of them
  for (const auto& [name, file] : log.files) {
    if (!file.synced) return name + " was not synced";
    if (file.last_write && *file.last_write > *file.synced)
      return name + " was written after its sync";
    if (*file.synced > rename) return name + " was synced after the commit";
    if (name != temporary) data_synced = std::max(data_synced, *file.synced);
  }
  if (!AnyBetween(log.folder_syncs, data_synced, rename)) {
    return "the names of the data files were not synced before the commit";
  }
  if (!AnyBetween(log.folder_syncs, rename, lines.size())) return "the commit was not synced";
  for (size_t removal : log.removals) {
    if (!AnyBetween(log.folder_syncs, rename, removal)) {
      return "a file was removed before the commit was synced";
    }
  }
  return {};
}

std::vector<size_t> SyncLines(const std::vector<std::string>& lines) {
  std::vector<size_t> syncs;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i] == "sync_folder" || lines[i].ends_with(" durable")) syncs.push_back(i);
  }
  return syncs;
}

}  // namespace dcp
