#include <charconv>
#include <limits>

#include "checkpoint/commit.h"
#include "reader/metadata_files.h"

namespace dcp {
namespace {

// Leaves room for every later save; larger numbers in a name are not ours.
constexpr uint64_t kMaxGeneration = 1ull << 62;

// A decimal number without sign and leading zeros at the start of `text`, which it is taken from.
bool TakeNumber(std::string_view* text, uint64_t max, uint64_t* out) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  size_t length = static_cast<size_t>(end - text->data());
  if (error != std::errc() || value > max || (length > 1 && (*text)[0] == '0')) return false;
  text->remove_prefix(length);
  *out = value;
  return true;
}

bool Take(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string DataFileName(int32_t rank, size_t n, uint64_t generation) {
  if (generation == 0) return fmt::format("__{}_{}.distcp", rank, n);
  return fmt::format("__{}_{}.g{}.distcp", rank, n, generation);
}

bool ParseDataFileName(std::string_view name, DataFile* out) {
  uint64_t rank, n, generation = 0;
  if (!Take(&name, "__") || !TakeNumber(&name, std::numeric_limits<int32_t>::max(), &rank) ||
      !Take(&name, "_") || !TakeNumber(&name, UINT64_MAX, &n)) {
    return false;
  }
  if (Take(&name, ".g") && (!TakeNumber(&name, kMaxGeneration, &generation) || generation == 0)) {
    return false;
  }
  if (name != ".distcp") return false;
  *out = {static_cast<int32_t>(rank), n, generation};
  return true;
}

Result<FolderState> InspectFolder(const Store& store) {
  FolderState folder;
  Result<std::vector<std::string>> files = store.List();
  if (!files.ok()) {
    if (files.status().code() == Code::kNotFound) return folder;
    return files.status().WithContext("looking for an older checkpoint");
  }
  folder.files = *std::move(files);
  bool anything = false;
  uint64_t highest = 0;
  for (const std::string& name : folder.files) {
    DataFile data;
    int32_t rank;
    if (ParseDataFileName(name, &data)) {
      anything = true;
      highest = std::max(highest, data.generation);
    } else if (name == kMetadataFile) {
      anything = true;
      folder.committed = true;
    } else if (ParseRankMetadataName(name, &rank)) {
      anything = true;
      if (rank == 0) folder.committed = true;
    }
  }
  if (highest == kMaxGeneration) {
    return Error(
        Code::kLimit,
        "a data file in {} has the highest generation there can be ({}): save into another "
        "folder, or remove it if it is not part of the checkpoint",
        store.location(), highest);
  }
  if (anything) folder.next_generation = highest + 1;
  return folder;
}

Status CheckOverwrite(const Store& store, const FolderState& folder, bool overwrite) {
  if (overwrite || !folder.committed) return Status::Ok();
  return Error(
             Code::kAlreadyExists,
             "Checkpoint already exists at {}, and overwrite is off: save into another folder, or "
             "allow it",
             store.location())
      .WithDetail("location", std::string(store.location()));
}

}  // namespace dcp
