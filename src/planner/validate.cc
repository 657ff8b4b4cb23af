#include <algorithm>

#include "base/bytes.h"
#include "planner/box_join.h"
#include "planner/save_planner.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kMaxMessages = 1000;

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
    Bounds();
    Overlaps();
    if (check_volume && (volume_overflows_ || chunks_volume_ != *volume)) Fill(*volume);
  }

 private:
  bool Full() const { return messages_->size() >= kMaxMessages; }
  void Say(std::string message) {
    if (!Full()) messages_->push_back(std::move(message));
  }

  void Bounds() {
    const bool several = entry_.chunk_count() > 1;  // one overlaps nothing
    if (several) boxes_.Reserve(entry_.chunk_count());
    for (uint32_t i = 0; i < entry_.chunk_count(); ++i) {
      Box box = entry_.chunk(i);
      Result<int64_t> volume = NumElements(box.sizes);
      if (!volume.ok() || !CheckedAdd(chunks_volume_, *volume, &chunks_volume_)) {
        volume_overflows_ = true;
      }
      if (!InBounds(entry_.size, box)) {
        if (Full()) continue;
        Say(fmt::format("key:{} has out of bounds chunk: tensor-size:{} chunk: {}",
                        PrintableName(entry_.name), SizeText(entry_.size), ChunkText(box)));
      } else if (several && *volume > 0) {
        boxes_.Add(box);
        ids_.push_back(i);
      }
    }
  }

  void Overlaps() {
    if (boxes_.size() < 2) return;
    JoinSelf(boxes_, [&](uint32_t first, uint32_t second) {
      Say(fmt::format("key:{} has overlapping chunks: {} {}", PrintableName(entry_.name),
                      ChunkText(entry_.chunk(ids_[second])), ChunkText(entry_.chunk(ids_[first]))));
      return !Full();
    });
  }

  void Fill(int64_t volume) {
    std::string chunks =
        volume_overflows_ ? std::string("more than 2^63") : fmt::format("{}", chunks_volume_);
    Say(fmt::format("key:{} invalid fill tensor-volume: {} chunks-volume: {}",
                    PrintableName(entry_.name), volume, chunks));
  }

  const Entry& entry_;
  std::vector<std::string>* messages_;
  BoxList boxes_{entry_.ndim()};  // of several chunks those that lie inside and hold elements
  std::vector<uint32_t> ids_;     // their numbers in the entry
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

}  // namespace dcp
