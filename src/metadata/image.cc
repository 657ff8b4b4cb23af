#include "metadata/image.h"

#include <atomic>

#include "base/checksum.h"
#include "base/thread_pool.h"
#include "metadata/surrogate_escape.h"
#include "metadata/trailer.h"
#include "pickle/writer.h"

namespace dcp {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr size_t kRun = 128;     // CRCs that are written before what lies among them is summed
constexpr size_t kAhead = 4096;  // bytes, of which the next are fetched

std::string Encoded(std::string_view text) {
  std::string out;
  pickle::Writer writer(4, &out);
  out.clear();  // of what opens a pickle
  writer.String(text);
  return out;
}

}  // namespace

Result<MetadataImage> MetadataImage::Encode(const Metadata& metadata, Dialect dialect) {
  MetadataImage image;
  DCP_RETURN_IF_ERROR(EncodeMetadata(
      metadata, dialect,
      [&](Bytes piece) {
        image.file_ += AsText(piece);
        return Status::Ok();
      },
      &image.marks_));
  image.head_crc_ = Crc32(0, image.bytes().first(image.marks_.storage));
  return image;
}

bool MetadataImage::Fits(const Changes& changes) const {
  if (!marks_.complete || changes.crc32.size() != marks_.gaps.size() ||
      changes.files.size() != marks_.files.size()) {
    return false;
  }
  for (size_t i = 0; i < changes.files.size(); ++i) {
    const MetadataMarks::Text& mark = marks_.files[i];
    if (mark.size > 0 && Encoded(changes.files[i]).size() != mark.size) return false;
  }
  return true;
}

bool MetadataImage::Patch(const Changes& changes, size_t workers) {
  if (!Fits(changes)) return false;
  for (size_t i = 0; i < changes.files.size(); ++i) {
    const MetadataMarks::Text& mark = marks_.files[i];
    if (mark.size > 0) Encoded(changes.files[i]).copy(file_.data() + mark.at, mark.size);
  }
  ReplaceTail(changes.checkpoint_id, changes.save_id);
  Seal(workers, changes.crc32);
  return true;
}

// The two ids lie behind everything else that is long.
void MetadataImage::ReplaceTail(std::string_view checkpoint_id, std::string_view save_id) {
  const auto replace = [&](MetadataMarks::Text* mark, std::string_view text) {
    const std::string encoded = Encoded(text);
    file_.replace(mark->at, mark->size, encoded);
    mark->size = encoded.size();
  };
  const uint64_t before = marks_.checkpoint_id.size;
  replace(&marks_.checkpoint_id, SurrogateEscape(checkpoint_id));
  marks_.save_id.at += marks_.checkpoint_id.size - before;
  replace(&marks_.save_id, save_id);
}

uint64_t MetadataImage::BlockEnd(size_t block) const {
  return block + 1 < marks_.blocks.size() ? marks_.blocks[block + 1] : file_.size() - kTrailerSize;
}

// Writes the CRCs, and the trailer; each run is still at hand when it is summed.
void MetadataImage::Seal(size_t workers, std::span<const uint32_t> crc32) {
  const size_t blocks = marks_.blocks.size();
  std::vector<uint32_t> sums(blocks);
  std::atomic<size_t> next{0};
  const auto work = [&](size_t) -> Status {
    for (size_t block; (block = next.fetch_add(1)) < blocks;) {
      uint64_t at = marks_.blocks[block];
      const size_t first = block * MetadataMarks::kBlock;
      const size_t end = std::min(first + MetadataMarks::kBlock, crc32.size());
      uint64_t summed = at;
      for (size_t i = first; i < end; ++i) {
        if (i > first) at += marks_.gaps[i];
        std::byte* const to = reinterpret_cast<std::byte*>(file_.data()) + at;
        StoreLe(to, crc32[i]);
        __builtin_prefetch(to + kAhead, 1);
        if (i % kRun != 0) continue;
        sums[block] = Crc32(sums[block], bytes().subspan(summed, at - summed));
        summed = at;
      }
      sums[block] = Crc32(sums[block], bytes().subspan(summed, BlockEnd(block) - summed));
    }
    return Status::Ok();
  };
  (void)RunParallel(std::max<size_t>(1, std::min(workers, blocks)), work);  // `work` cannot fail
  const uint64_t length = file_.size() - kTrailerSize;
  const uint64_t first = blocks > 0 ? marks_.blocks[0] : length;
  uint32_t crc = Crc32(head_crc_, bytes().subspan(marks_.storage, first - marks_.storage));
  for (size_t block = 0; block < blocks; ++block) {
    crc = Crc32Combine(crc, sums[block], BlockEnd(block) - marks_.blocks[block]);
  }
  file_.resize(length);
  AppendTrailer(crc, length, &file_);
}

Status MetadataImage::Give(const ByteSink& sink) const {
  for (Bytes rest = bytes(); !rest.empty();) {
    const size_t size = std::min(rest.size(), kPiece);
    DCP_RETURN_IF_ERROR(sink(rest.first(size)));
    rest = rest.subspan(size);
  }
  return Status::Ok();
}

}  // namespace dcp
