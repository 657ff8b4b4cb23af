#include "catalog/verify_sweep.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "base/checksum.h"
#include "base/thread_pool.h"
#include "reader/read_plan.h"

namespace dcp {
namespace {

constexpr uint64_t kMostOfARun = 32 << 20;     // bytes; enough for several reads in flight
constexpr uint64_t kLongestInRun = 256 << 10;  // an item that two pieces share is read again

bool IsSmall(const ItemToVerify& item) {
  return item.location().length > 0 && item.location().length <= kLongestInRun;
}

uint32_t CrcOfZeros(uint64_t size) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  uint32_t crc = 0;
  for (uint64_t left = size; left > 0;) {
    const size_t part = std::min<uint64_t>(left, kZeros.size());
    crc = Crc32(crc, Bytes(kZeros).first(part));
    left -= part;
  }
  return crc;
}

}  // namespace

std::vector<std::span<const ItemToVerify>> RunsOf(std::span<const ItemToVerify> items) {
  std::vector<std::span<const ItemToVerify>> runs;
  for (size_t at = 0; at < items.size();) {
    const Location& first = items[at].location();
    size_t end = at + 1;
    while (end < items.size() && items[end].location().file == first.file &&
           items[end].end() - first.offset <= kMostOfARun && IsSmall(items[end - 1]) &&
           IsSmall(items[end])) {
      ++end;
    }
    runs.push_back(items.subspan(at, end - at));
    at = end;
  }
  return runs;
}

Status FileSweep::Run(std::span<ItemToVerify> items) {
  DCP_ASSIGN_OR_RETURN(const std::shared_ptr<ReadableFile> file,
                       reader_->OpenFile(items.front().location().file));
  std::vector<ItemToVerify*> alone;
  for (const std::span<const ItemToVerify> run : RunsOf(items)) {
    if (run.size() == 1) alone.push_back(&items[static_cast<size_t>(&run[0] - items.data())]);
  }
  uint64_t bytes = 0;
  for (const ItemToVerify* item : alone) bytes += item->location().length;
  if (bytes < kColdBytes) return Status::Ok();
  const uint64_t begin = alone.front()->location().offset;
  DCP_ASSIGN_OR_RETURN(const bool serves,
                       CanSweep(*file, begin, alone.back()->end() - begin, options_));
  if (!serves) return Status::Ok();
  std::vector<std::optional<StoredTensor>> stored(alone.size());
  DCP_RETURN_IF_ERROR(ReadHeaders(alone, &stored));
  std::vector<SweptRange> ranges;
  std::vector<Expected> expected;
  const auto add = [&](uint64_t from, uint64_t size, const Expected& what) {
    if (size == 0 || (!ranges.empty() && from < ranges.back().begin + ranges.back().size)) return;
    ranges.push_back({from, size});
    expected.push_back(what);
  };
  for (size_t i = 0; i < alone.size(); ++i) {
    const Location& location = alone[i]->location();
    if (alone[i]->padding) {
      const uint64_t size = location.offset - *alone[i]->padding;
      add(*alone[i]->padding, size, {alone[i], Expected::What::kPadding, CrcOfZeros(size)});
    }
    if (location.has_crc32) {
      add(location.offset, location.length, {alone[i], Expected::What::kItem, location.crc32});
    } else if (stored[i]) {
      add(location.offset + stored[i]->data_offset, stored[i]->data_size,
          {alone[i], Expected::What::kPayload, *stored[i]->crc32});
    }
  }
  return Sweep(*file, ranges, options_, [&](size_t i, uint32_t crc, const ItemEdges& ends) {
    return crc == expected[i].crc32 ? Use(expected[i], ends) : Status::Ok();
  });
}

Status FileSweep::Use(const Expected& expected, const ItemEdges& ends) {
  ItemToVerify& item = *expected.item;
  switch (expected.what) {
    case Expected::What::kPadding:
      item.padding.reset();
      return Status::Ok();
    case Expected::What::kPayload:
      item.payload_checked = true;
      return Status::Ok();
    case Expected::What::kItem:
      break;
  }
  const Status header = reader_->VerifyHeader(*item.entry, item.chunk, ends);
  if (!header.ok()) return Status::Ok();  // is told when it is read again
  item.checked = true;  // but for the padding in front of it, which another worker may have
  return on_whole_(item);
}

// Where the payloads of items lie that have no checksum of the whole: those that are plain.
Status FileSweep::ReadHeaders(const std::vector<ItemToVerify*>& items,
                              std::vector<std::optional<StoredTensor>>* stored) {
  std::vector<size_t> unknown;
  for (size_t i = 0; i < items.size(); ++i) {
    const Location& location = items[i]->location();
    if (!location.has_crc32 && items[i]->entry->kind == EntryKind::kTensor &&
        location.transforms < metadata_.transform_sets.size() &&
        metadata_.transform_sets[location.transforms].empty()) {
      unknown.push_back(i);
    }
  }
  std::atomic<size_t> next{0};
  return RunParallel(
      std::min(unknown.size(), WorkerCount(options_.threads, kHeaderWorkers)), [&](size_t) {
        for (size_t at; (at = next.fetch_add(1)) < unknown.size();) {
          DCP_RETURN_IF_ERROR(options_.cancel.Check());
          const ItemToVerify& item = *items[unknown[at]];
          Result<StoredTensor> found = reader_->Inspect(*item.entry, item.chunk, options_);
          if (!found.ok() || found->form != TensorForm::kDense || found->deflated ||
              !found->crc32 || found->data_offset > item.location().length ||
              found->data_size > item.location().length - found->data_offset) {
            continue;
          }
          (*stored)[unknown[at]] = *std::move(found);
        }
        return Status::Ok();
      });
}

}  // namespace dcp
