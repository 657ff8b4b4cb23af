#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "catalog/checkpoint.h"
#include "catalog/verify_sweep.h"
#include "planner/save_planner.h"
#include "reader/metadata_files.h"
#include "reader/range_reader.h"
#include "reader/read_plan.h"
#include "value/names.h"

namespace dcp {
namespace {

using Item = ItemToVerify;

// While one worker waits for the ends of an item, which are small reads, others keep the disk busy.
constexpr size_t kFewestWorkers = 4;

// Errors that say nothing about the checkpoint.
bool StopsVerification(const Status& status) {
  switch (status.code()) {
    case Code::kCancelled:
    case Code::kOutOfMemory:
    case Code::kCallback:
    case Code::kForked:
    case Code::kReplaced:
    case Code::kInternal:
      return true;
    default:
      return false;
  }
}

void SortByPlace(std::vector<Damage>* places) {
  std::stable_sort(places->begin(), places->end(), [](const Damage& a, const Damage& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  });
}

class Verification {
 public:
  Verification(const Metadata& metadata, ItemReader* reader, const Store& store,
               const std::string& fingerprint, const ReaderOptions& options, ProgressSink* sink,
               const std::function<void(const Damage&)>& on_damage)
      : metadata_(metadata),
        reader_(reader),
        store_(store),
        fingerprint_(fingerprint),
        options_(options),
        progress_(sink, options.cancel),
        on_damage_(on_damage) {}

  Result<VerifySummary> Run() {
    summary_.notes = metadata_.notes;
    CollectItems();
    DCP_RETURN_IF_ERROR(CheckFiles());
    CheckGeometry();
    NoteOtherFiles();
    uint64_t bytes = 0;
    for (const Item& item : items_) bytes += item.location().length;
    DCP_RETURN_IF_ERROR(progress_.Begin(ProgressPhase::kVerify, bytes, items_.size()));
    DCP_RETURN_IF_ERROR(ReadItems());
    DCP_RETURN_IF_ERROR(progress_.End());
    DCP_RETURN_IF_ERROR(CheckNotReplaced());
    SortByPlace(&summary_.damage);
    SortByPlace(&summary_.unreadable);
    return std::move(summary_);
  }

 private:
  void Add(Damage damage) {
    std::lock_guard lock(mutex_);
    if (on_damage_) on_damage_(damage);
    summary_.damage.push_back(std::move(damage));
  }

  std::string FileName(const Item& item) const { return metadata_.files[item.location().file]; }

  void AddItemDamage(const Item& item, const Status& status) {
    Add({item.entry->name, FileName(item), item.location().offset, status});
  }

  // Items in file order. Those without a place are damage at once.
  void CollectItems() {
    for (const Entry& entry : metadata_.entries) {
      if (entry.kind == EntryKind::kBytes && entry.locations.empty()) {
        Add({entry.name, "", 0,
             Error(Code::kCorrupt, "'{}' has no item in any file", PrintableName(entry.name))});
      }
      for (uint32_t i = 0; i < entry.chunk_count(); ++i) {
        if (!entry.locations[i].missing()) {
          items_.push_back({&entry, i});
          continue;
        }
        Add({entry.name, "", 0,
             Error(Code::kCorrupt, "chunk {} of '{}' has no item in any file", i,
                   PrintableName(entry.name))});
      }
    }
    std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
      return std::tie(a.location().file, a.location().offset, a.location().length) <
             std::tie(b.location().file, b.location().offset, b.location().length);
    });
  }

  // Opens every file; drops the items that cannot be read.
  Status CheckFiles() {
    std::vector<Item> readable;
    for (size_t at = 0; at < items_.size();) {
      size_t end = at;
      uint32_t file = items_[at].location().file;
      while (end < items_.size() && items_[end].location().file == file) ++end;
      DCP_RETURN_IF_ERROR(CheckFile(at, end, &readable));
      at = end;
    }
    items_ = std::move(readable);
    return Status::Ok();
  }

  Status CheckFile(size_t at, size_t end, std::vector<Item>* readable) {
    Result<std::shared_ptr<ReadableFile>> file = reader_->OpenFile(items_[at].location().file);
    if (!file.ok()) {
      Status status = Explain(file.status());
      if (StopsVerification(status)) return status;
      Add({"", FileName(items_[at]), 0, status});
      for (size_t i = at; i < end; ++i) AddItemDamage(items_[i], status);
      return Status::Ok();
    }
    uint64_t size = (*file)->size();
    uint64_t taken = 0;  // end of the items so far
    const Item* before = nullptr;
    const size_t first = readable->size();
    for (size_t i = at; i < end; ++i) {
      const Location& location = items_[i].location();
      if (location.offset > size || location.length > size - location.offset) {
        AddItemDamage(items_[i], Error(Code::kCorrupt,
                                       "'{}' is said to lie at [{}, +{}) of {}, which has {} bytes",
                                       PrintableName(items_[i].entry->name), location.offset,
                                       location.length, PrintableName(FileName(items_[i])), size));
        continue;
      }
      if (before != nullptr && location.offset < taken && location.length > 0) {
        AddItemDamage(items_[i], Error(Code::kCorrupt, "the items of '{}' and '{}' overlap in {}",
                                       PrintableName(before->entry->name),
                                       PrintableName(items_[i].entry->name),
                                       PrintableName(FileName(items_[i]))));
      }
      readable->push_back(items_[i]);
      if (location.offset > taken) readable->back().padding = taken;
      if (location.offset + location.length >= taken) {
        taken = location.offset + location.length;
        before = &items_[i];
      }
    }
    // What libdcp leaves between two items, to align the second, is zeros and in no checksum; other
    // writers promise nothing about such bytes. Where items are not where they are said to be, what
    // lies between them is not padding.
    if (!metadata_.checksummed || metadata_.merged || !summary_.damage.empty()) {
      for (size_t i = first; i < readable->size(); ++i) (*readable)[i].padding.reset();
    }
    return Status::Ok();
  }

  // Damage unless the bytes from the end of the item before to this one are zeros.
  Status CheckPadding(const Item& after) {
    DCP_ASSIGN_OR_RETURN(const std::shared_ptr<ReadableFile> file,
                         reader_->OpenFile(after.location().file));
    DCP_ASSIGN_OR_RETURN(
        const PooledBuffer buffer,
        options_.pool->Acquire(options_.cancel, after.location().offset - *after.padding));
    for (uint64_t at = *after.padding; at < after.location().offset;) {
      const size_t size = std::min<uint64_t>(buffer.bytes().size(), after.location().offset - at);
      const MutableBytes bytes = buffer.bytes().first(size);
      Status status = file->ReadAt(at, bytes);
      if (!status.ok()) status = Explain(status);
      if (StopsVerification(status)) return status;
      const auto changed =
          std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
      if (status.ok() && changed != bytes.end()) {
        status =
            Error(Code::kCorrupt, "byte {} of {}, in the padding before the item of '{}', is not 0",
                  at + static_cast<uint64_t>(changed - bytes.begin()),
                  PrintableName(FileName(after)), PrintableName(after.entry->name));
      }
      if (!status.ok()) {
        Add({"", FileName(after), at, status});
        return Status::Ok();
      }
      at += size;
    }
    return Status::Ok();
  }

  // Chunks outside their tensor, overlapping, or leaving holes.
  void CheckGeometry() {
    if (ValidateEntries(metadata_, true).empty()) return;
    for (const Entry& entry : metadata_.entries) {
      if (entry.kind != EntryKind::kTensor) continue;
      Metadata one;
      one.entries.push_back(entry);
      for (std::string& message : ValidateEntries(one, true)) {
        Add({entry.name, "", 0, Status(Code::kCorrupt, std::move(message))});
      }
    }
  }

  void NoteOtherFiles() {
    Result<std::vector<std::string>> names = store_.List();
    if (!names.ok()) {
      summary_.notes.push_back(
          fmt::format("the folder could not be listed: {}", names.status().message()));
      return;
    }
    std::set<std::string_view> known(metadata_.files.begin(), metadata_.files.end());
    bool whole = std::find(names->begin(), names->end(), kMetadataFile) != names->end();
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      int32_t rank;
      bool used = known.contains(name) || name == kMetadataFile ||
                  (!whole && ParseRankMetadataName(name, &rank));
      if (used) continue;
      Result<std::unique_ptr<ReadableFile>> file = store_.Open(name);
      // Stock makes an empty file for each of its threads that had nothing to write.
      if (file.ok() && (*file)->size() == 0) continue;
      summary_.notes.push_back(
          fmt::format("{} is not part of the checkpoint", PrintableName(name)));
    }
  }

  Status ReadItems() {
    FileSweep sweep(metadata_, reader_, options_,
                    [this](const Item& item) { return Count(item, Status::Ok(), true); });
    for (size_t at = 0; at < items_.size();) {
      size_t end = at + 1;
      while (end < items_.size() && items_[end].location().file == items_[at].location().file)
        ++end;
      DCP_RETURN_IF_ERROR(sweep.Run(std::span(items_).subspan(at, end - at)));
      at = end;
    }
    for (const Item& item : items_) {
      if (item.checked && item.padding) DCP_RETURN_IF_ERROR(CheckPadding(item));
    }
    std::erase_if(items_, [](const Item& item) { return item.checked; });
    const std::vector<std::span<const Item>> runs = RunsOf(items_);
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    const size_t workers = std::min({WorkerCount(options_.threads, kFewestWorkers),
                                     std::max<size_t>(runs.size(), 1), options_.pool->capacity()});
    return RunParallel(workers, [&](size_t) {
      for (size_t at; !stop.load() && (at = next.fetch_add(1)) < runs.size();) {
        Status status = ReadRun(runs[at]);
        if (!status.ok()) {
          stop = true;
          return status;
        }
      }
      return Status::Ok();
    });
  }

  // Several items come by in large pieces. What no piece holds whole, or could not be read so, is
  // read by itself, and tells then what is wrong with it.
  Status ReadRun(std::span<const Item> run) {
    std::vector<bool> done(run.size());
    for (const Item& item : run) {
      if (item.padding) DCP_RETURN_IF_ERROR(CheckPadding(item));
    }
    if (run.size() > 1) DCP_RETURN_IF_ERROR(ReadPieces(run, &done));
    for (size_t i = 0; i < run.size(); ++i) {
      if (!done[i]) DCP_RETURN_IF_ERROR(ReadItem(run[i], {}));
    }
    return Status::Ok();
  }

  Status ReadPieces(std::span<const Item> run, std::vector<bool>* done) {
    const uint64_t begin = run.front().location().offset;
    uint64_t end = begin;
    for (const Item& item : run) end = std::max(end, item.end());
    DCP_ASSIGN_OR_RETURN(std::shared_ptr<ReadableFile> file,
                         reader_->OpenFile(run.front().location().file));
    if (file->Cached(begin, end - begin)) return Status::Ok();  // small reads are as fast
    Status stopped;
    const auto use = [&](uint64_t at, Bytes piece) -> Status {
      const auto first = std::lower_bound(
          run.begin(), run.end(), begin + at,
          [](const Item& item, uint64_t from) { return item.location().offset < from; });
      for (auto item = first; item != run.end(); ++item) {
        const uint64_t offset = item->location().offset - begin - at;
        const uint64_t length = item->location().length;
        if (offset >= piece.size()) break;
        if (length > piece.size() - offset) continue;
        stopped = ReadItem(*item, piece.subspan(offset, length));
        DCP_RETURN_IF_ERROR(stopped);
        (*done)[static_cast<size_t>(item - run.begin())] = true;
      }
      return Status::Ok();
    };
    const Status read = ReadRange(*file, begin, end - begin, options_, use);
    return read.code() == Code::kCancelled ? read : stopped;
  }

  // `bytes`: empty when the item is still to be read.
  Status ReadItem(const Item& item, Bytes bytes) {
    bool has_checksums = false;
    Status status = reader_->VerifyItem(*item.entry, item.chunk, options_, &has_checksums, bytes,
                                        item.payload_checked);
    const bool unreadable = BehindUnknownTransform(item, status);
    if (!status.ok() && !unreadable) {
      status = Explain(status);
      if (StopsVerification(status)) return status;
      AddItemDamage(item, status);
    }
    if (!unreadable) return Count(item, status, has_checksums);
    {
      std::lock_guard lock(mutex_);
      summary_.unreadable.push_back(
          {item.entry->name, FileName(item), item.location().offset, status});
    }
    return progress_.Advance(item.location().length, 1);
  }

  Status Count(const Item& item, const Status& status, bool has_checksums) {
    {
      std::lock_guard lock(mutex_);
      ++summary_.items_checked;
      summary_.bytes_checked += item.location().length;
      if (status.ok() && !has_checksums) ++summary_.items_without_checksum;
    }
    return progress_.Advance(item.location().length, 1);
  }

  // Nothing can be said about such an item, unless its writer left a checksum of the encoded bytes.
  bool BehindUnknownTransform(const Item& item, const Status& status) const {
    return status.code() == Code::kUnsupported &&
           !metadata_.transform_sets[item.location().transforms].empty();
  }

  // The metadata is read again for the first error, and once more at the end: not for each one.
  Status Explain(const Status& error) {
    if (explained_.exchange(true)) return WithoutReplacement(error);
    return ExplainReadError(store_, fingerprint_, error);
  }

  // Damage found while another save replaced the files says nothing.
  Status CheckNotReplaced() const {
    if (summary_.damage.empty()) return Status::Ok();
    Result<bool> still = StillCommitted(store_, fingerprint_);
    if (!still.ok() || *still) return Status::Ok();
    return Error(Code::kReplaced,
                 "the checkpoint at {} was replaced while it was verified: verify it again",
                 store_.location());
  }

  const Metadata& metadata_;
  ItemReader* reader_;
  const Store& store_;
  const std::string& fingerprint_;
  ReaderOptions options_;
  Progress progress_;
  const std::function<void(const Damage&)>& on_damage_;
  std::vector<Item> items_;
  std::atomic<bool> explained_{false};
  std::mutex mutex_;
  VerifySummary summary_;
};

}  // namespace

Result<VerifySummary> Checkpoint::Verify(const std::function<void(const Damage&)>& on_damage,
                                         CancelToken cancel) {
  ReaderOptions options = MakeReaderOptions();
  options.verify = true;
  options.cancel = cancel;
  // A reader of its own: files that were open before may be gone by now.
  ItemReader reader(store_.get(), &metadata_);
  return Verification(metadata_, &reader, *store_, fingerprint_, options, engine_->progress.get(),
                      on_damage)
      .Run();
}

}  // namespace dcp
