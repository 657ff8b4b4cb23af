#include <algorithm>

#include "base/bytes.h"
#include "planner/box_join.h"
#include "planner/save_planner.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kMaxMessages = 1000;
constexpr size_t kMaxErrorText = 500;

std::string SizeText(Dims dims) { return fmt::format("torch.Size({})", ToString(dims)); }

std::string ChunkText(Box box) {
  return fmt::format("ChunkStorageMetadata(offsets={}, sizes={})", SizeText(box.offsets),
                     SizeText(box.sizes));
}

bool InBounds(Dims size, Box box) {
  for (size_t d = 0; d < size.size(); ++d) {
    if (box.offsets[d] < 0 || box.sizes[d] < 0) return false;
    if (box.sizes[d] > size[d] || box.offsets[d] > size[d] - box.sizes[d]) return false;
  }
  return true;
}

// Each intersection of open intervals is tested, so that an empty box meets those that have it
// strictly inside.
bool Overlap(Box a, Box b) {
  for (size_t d = 0; d < a.sizes.size(); ++d) {
    if (a.offsets[d] >= b.offsets[d] + b.sizes[d] || b.offsets[d] >= a.offsets[d] + a.sizes[d]) {
      return false;
    }
  }
  return true;
}

// The product, with its sign. False when it does not fit.
bool Volume(Dims sizes, int64_t* volume) {
  *volume = 1;
  bool fits = true;
  for (int64_t size : sizes) {
    if (size == 0) {
      *volume = 0;
      return true;
    }
    fits = fits && CheckedMul(*volume, size, volume);
  }
  return fits;
}

class EntryCheck {
 public:
  EntryCheck(const Entry& entry, std::vector<std::string>* messages)
      : entry_(entry), messages_(messages) {}

  void Run(bool check_volume) {
    Result<int64_t> volume = NumElements(entry_.size);
    if (!volume.ok()) {
      return Say(fmt::format("key:{} has an impossible size: {}", PrintableName(entry_.name),
                             volume.status().message()));
    }
    BoundsAndVolume();
    if (!Apart()) Overlaps();
    if (check_volume && (volume_overflows_ || chunks_volume_ != *volume)) Fill(*volume);
  }

 private:
  bool Full() const { return messages_->size() >= kMaxMessages; }
  void Say(std::string message) {
    if (!Full()) messages_->push_back(std::move(message));
  }

  void BoundsAndVolume() {
    for (size_t i = 0; i < entry_.chunk_count(); ++i) {
      const Box box = entry_.chunk(i);
      int64_t volume;
      if (!Volume(box.sizes, &volume) || !CheckedAdd(chunks_volume_, volume, &chunks_volume_)) {
        volume_overflows_ = true;
      }
      if (InBounds(entry_.size, box)) continue;
      all_in_bounds_ = false;
      if (Full()) continue;
      Say(fmt::format("key:{} has out of bounds chunk: tensor-size:{} chunk: {}",
                      PrintableName(entry_.name), SizeText(entry_.size), ChunkText(box)));
    }
  }

  // True when each chunk begins, in one and the same dimension, where the one before it ends or
  // later, the way of most shardings. A false says nothing.
  bool Apart() const {
    if (entry_.chunk_count() < 2) return true;
    if (!all_in_bounds_) return false;
    for (size_t d = 0; d < entry_.ndim(); ++d) {
      const int64_t* at = entry_.boxes.data() + d;
      bool apart = true;
      int64_t end = 0;
      for (size_t i = 0; i < entry_.chunk_count() && apart; ++i, at += 2 * entry_.ndim()) {
        apart = *at >= end;
        end = *at + at[entry_.ndim()];
      }
      if (apart) return true;
    }
    return false;
  }

  // A box that reaches outside its tensor is compared as well, where its end is a number.
  static bool HasEnd(Box box) {
    for (size_t d = 0; d < box.sizes.size(); ++d) {
      int64_t end;
      if (box.sizes[d] < 0 || !CheckedAdd(box.offsets[d], box.sizes[d], &end)) return false;
    }
    return true;
  }

  void Overlaps() {
    const size_t n = entry_.ndim();
    BoxList full(n), empty(n);  // of the empty ones, boxes around them
    std::vector<uint32_t> full_ids, empty_ids;
    Shape offsets, sizes;
    for (uint32_t i = 0; i < entry_.chunk_count(); ++i) {
      const Box box = entry_.chunk(i);
      if (!HasEnd(box)) continue;
      if (std::find(box.sizes.begin(), box.sizes.end(), 0) == box.sizes.end()) {
        full.Add(box);
        full_ids.push_back(i);
        continue;
      }
      offsets.assign(box.offsets.begin(), box.offsets.end());
      sizes.assign(box.sizes.begin(), box.sizes.end());
      bool inside = true;  // of nothing, where it cannot be widened
      for (size_t d = 0; d < n; ++d) {
        if (sizes[d] != 0) continue;
        inside = inside && offsets[d] > INT64_MIN && offsets[d] < INT64_MAX;
        if (!inside) break;
        --offsets[d];
        sizes[d] = 2;
      }
      if (!inside) continue;
      empty.Add({offsets, sizes});
      empty_ids.push_back(i);
    }
    JoinSelf(full, [&](uint32_t a, uint32_t b) { return Compare(full_ids[a], full_ids[b]); });
    JoinBoxes(empty, full,
              [&](uint32_t a, uint32_t b) { return Compare(empty_ids[a], full_ids[b]); });
    JoinSelf(empty, [&](uint32_t a, uint32_t b) { return Compare(empty_ids[a], empty_ids[b]); });
  }

  bool Compare(uint32_t a, uint32_t b) {
    const Box first = entry_.chunk(std::min(a, b)), second = entry_.chunk(std::max(a, b));
    if (!Overlap(first, second)) return true;
    Say(fmt::format("key:{} has overlapping chunks: {} {}", PrintableName(entry_.name),
                    ChunkText(second), ChunkText(first)));
    return !Full();
  }

  void Fill(int64_t volume) {
    std::string chunks =
        volume_overflows_ ? std::string("more than 2^63") : fmt::format("{}", chunks_volume_);
    Say(fmt::format("key:{} invalid fill tensor-volume: {} chunks-volume: {}",
                    PrintableName(entry_.name), volume, chunks));
  }

  const Entry& entry_;
  std::vector<std::string>* messages_;
  bool all_in_bounds_ = true;
  int64_t chunks_volume_ = 0;
  bool volume_overflows_ = false;
};

}  // namespace

std::vector<std::string> ValidateEntries(const Metadata& metadata, bool check_volume) {
  std::vector<std::string> messages;
  for (const Entry& entry : metadata.entries) {
    if (entry.kind != EntryKind::kTensor || entry.size.empty()) continue;
    EntryCheck(entry, &messages).Run(check_volume);
    if (messages.size() >= kMaxMessages) {
      messages.push_back("and more: the rest was not checked");
      break;
    }
  }
  return messages;
}

Status CheckEntries(const Metadata& metadata, bool check_volume) {
  std::vector<std::string> messages = ValidateEntries(metadata, check_volume);
  if (messages.empty()) return Status::Ok();
  std::string text;
  for (const std::string& message : messages) {
    if (!text.empty()) text += "; ";
    text += message;
    if (text.size() > kMaxErrorText) {
      size_t cut = kMaxErrorText;
      while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
      text.resize(cut);
      text += "... (truncated)";
      break;
    }
  }
  return Error(Code::kInvalidArgument, "Failed to validate global plan: {}", text);
}

}  // namespace dcp
