#include <algorithm>

#include "base/checksum.h"
#include "reader/item_edges.h"
#include "reader/item_place.h"
#include "reader/range_reader.h"
#include "reader/read_plan.h"
#include "reader/reader.h"
#include "reader/skeleton.h"
#include "reader/stored_check.h"
#include "reader/whole_item.h"
#include "zip/archive.h"

namespace dcp {
namespace {

constexpr uint64_t kReadAtOnce = 1 << 20;  // bytes: smaller items are read by one call

// CRCs of the pieces of a record, in whatever order they come.
class RecordCrc {
 public:
  void Add(uint64_t at, Bytes bytes) { pieces_.push_back({at, bytes.size(), Crc32(0, bytes)}); }
  uint32_t Whole() {
    std::sort(pieces_.begin(), pieces_.end(),
              [](const Piece& a, const Piece& b) { return a.at < b.at; });
    uint32_t crc = 0;
    for (const Piece& piece : pieces_) {
      crc = piece.at == 0 ? piece.crc : Crc32Combine(crc, piece.crc, piece.size);
    }
    return crc;
  }

 private:
  struct Piece {
    uint64_t at;
    uint64_t size;
    uint32_t crc;
  };
  std::vector<Piece> pieces_;
};

// One item: in memory, or in a file at `begin`.
class ItemVerifier {
 public:
  ItemVerifier(const ItemPlace& place, const ReaderOptions& options, bool* has_checksums,
               bool payload_checked = false)
      : place_(place),
        options_(options),
        has_checksums_(has_checksums),
        payload_checked_(payload_checked) {}

  Status InMemory(Bytes bytes) {
    const MemorySource source(bytes);
    return Verify(source, [bytes](uint64_t offset, uint64_t size, const PieceUser& use) {
      return use(0, bytes.subspan(offset, size));
    });
  }

  Status InFile(const ReadableFile& file, uint64_t begin, uint64_t length) {
    const WindowSource source(&file, begin, length);
    return Verify(source, [&, begin](uint64_t offset, uint64_t size, const PieceUser& use) {
      return ReadRange(file, begin + offset, size, options_, use);
    });
  }

 private:
  using Stream = std::function<Status(uint64_t offset, uint64_t size, const PieceUser& use)>;

  Status Verify(const ByteSource& item, const Stream& stream) {
    if (place_.entry->kind == EntryKind::kBytes && !IsZip(item)) {
      bool checked = false;
      auto value = DecodeObjectItem(item, options_.object_limits, &checked);
      *has_checksums_ = checked;
      return value.status();
    }
    StoredTensor stored;
    if (place_.entry->kind == EntryKind::kTensor) {
      DCP_ASSIGN_OR_RETURN(stored, ParseTensorItem(item));
      if (stored.form == TensorForm::kDense) {
        DCP_RETURN_IF_ERROR(CheckAgainstMetadata(stored, place_));
        DCP_RETURN_IF_ERROR(CheckRecords(stored, item.size()));
      }
    }
    DCP_ASSIGN_OR_RETURN(const zip::Archive archive, zip::Archive::Open(&item));
    for (const zip::Record& record : archive.records()) {
      const bool payload = place_.entry->kind == EntryKind::kTensor &&
                           stored.form == TensorForm::kDense && !stored.deflated &&
                           record.data_offset == stored.data_offset &&
                           record.size == stored.data_size;
      if (payload && payload_checked_) {
        *has_checksums_ = true;
      } else if (record.method != 0) {
        DCP_RETURN_IF_ERROR(VerifyDeflated(archive, record));
      } else {
        DCP_RETURN_IF_ERROR(VerifyStored(item, record, payload ? &stored : nullptr, stream));
      }
    }
    return CheckSkeleton(item, archive);
  }

  static bool IsZip(const ByteSource& item) {
    std::array<std::byte, 4> head;
    return item.size() >= head.size() && item.ReadAt(0, head).ok() &&
           LoadLe<uint32_t>(head.data()) == 0x04034b50;
  }

  Status VerifyDeflated(const zip::Archive& archive, const zip::Record& record) {
    bool checked = false;
    DCP_ASSIGN_OR_RETURN(std::unique_ptr<std::byte[]> memory, AllocateBytes(record.size));
    DCP_RETURN_IF_ERROR(
        archive.ReadInto(record, MutableBytes(memory.get(), record.size), &checked));
    *has_checksums_ |= checked && record.size > 0;
    return Status::Ok();
  }

  // `stored` when the record is the payload whose blocks may have checksums of their own.
  Status VerifyStored(const ByteSource& item, const zip::Record& record, const StoredTensor* stored,
                      const Stream& stream) {
    std::vector<uint32_t> blocks;
    if (stored != nullptr && stored->block_table_offset) {
      blocks.resize((record.size + kChecksumBlock - 1) / kChecksumBlock);
      DCP_RETURN_IF_ERROR(
          item.ReadAt(*stored->block_table_offset, std::as_writable_bytes(std::span(blocks))));
    }
    if (record.size == 0 || (!record.has_crc() && blocks.empty())) return Status::Ok();
    *has_checksums_ = true;
    RecordCrc crc;
    const auto use = [&](uint64_t at, Bytes bytes) -> Status {
      if (blocks.empty()) crc.Add(at, bytes);
      for (uint64_t in = 0; !blocks.empty() && in < bytes.size(); in += kChecksumBlock) {
        const Bytes block = bytes.subspan(in, std::min(kChecksumBlock, bytes.size() - in));
        DCP_RETURN_IF_ERROR(CheckBlock(record, at + in, block, blocks));
      }
      return Status::Ok();
    };
    DCP_RETURN_IF_ERROR(stream(record.data_offset, record.size, use));
    if (!blocks.empty()) return CheckTable(record, blocks);
    const uint32_t found = crc.Whole();
    return found == record.crc32 ? Status::Ok() : WrongCrc(record, found);
  }

  Status CheckBlock(const zip::Record& record, uint64_t at, Bytes block,
                    const std::vector<uint32_t>& blocks) {
    const uint32_t crc = Crc32(0, block);
    if (crc == blocks[at / kChecksumBlock]) return Status::Ok();
    const uint64_t where = place_.offset() + record.data_offset + at;
    return Error(Code::kCorrupt,
                 "the block of {} bytes at offset {} of the file is damaged: its CRC32 is {:08x}, "
                 "its entry in the item's table {:08x}",
                 block.size(), where, crc, blocks[at / kChecksumBlock])
        .WithDetail("block_offset", fmt::format("{}", where));
  }

  // The data is as the table says; the table must be as the record's own checksum says.
  Status CheckTable(const zip::Record& record, const std::vector<uint32_t>& blocks) {
    if (!record.has_crc()) return Status::Ok();
    const Crc32Appender appender(kChecksumBlock);
    uint32_t crc = 0;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const uint64_t size = std::min(kChecksumBlock, record.size - i * kChecksumBlock);
      crc = size == kChecksumBlock ? appender.Append(crc, blocks[i])
                                   : Crc32Combine(crc, blocks[i], size);
    }
    return crc == record.crc32 ? Status::Ok() : WrongCrc(record, crc);
  }

  Status WrongCrc(const zip::Record& record, uint32_t found) const {
    return Error(Code::kCorrupt,
                 "record '{}', {} bytes at offset {} of the file, is damaged: its CRC32 is {:08x}, "
                 "the file says {:08x}",
                 record.name, record.size, place_.offset() + record.data_offset, found,
                 record.crc32);
  }

  const ItemPlace& place_;
  const ReaderOptions& options_;
  bool* has_checksums_;
  const bool payload_checked_;
};

Status VerifyDecoded(const ItemPlace& place, std::string raw, const ReaderOptions& options,
                     bool* has_checksums) {
  uint64_t limit = options.object_limits.max_size;
  if (place.entry->kind == EntryKind::kTensor) {
    DCP_ASSIGN_OR_RETURN(limit, DecodedTensorLimit(place));
  }
  DCP_ASSIGN_OR_RETURN(const std::string bytes, DecodeItem(std::move(raw), place, limit, options));
  return ItemVerifier(place, options, has_checksums).InMemory(AsBytes(bytes));
}

// The item's bytes are those that were written; what is left is whether they are the tensor that
// the metadata describes.
Status HeaderFits(const ItemPlace& place, const ByteSource& item) {
  if (place.entry->kind != EntryKind::kTensor || !place.transforms().empty()) return Status::Ok();
  DCP_ASSIGN_OR_RETURN(const StoredTensor stored, ParseTensorItem(item));
  return stored.form == TensorForm::kDense ? CheckAgainstMetadata(stored, place) : Status::Ok();
}

// `detail` knows which record or block is damaged, unless it is none of them.
Status Damaged(const ItemPlace& place, uint32_t crc, const Status& detail) {
  return detail.ok() ? CheckItemCrc(place, crc) : detail;
}

Status VerifySmall(const ItemPlace& place, Bytes bytes, const ReaderOptions& options,
                   bool* has_checksums) {
  const bool known = place.location().has_crc32;
  const uint32_t crc = known ? Crc32(0, bytes) : 0;
  if (known && crc == place.location().crc32) {
    *has_checksums = true;
    return HeaderFits(place, MemorySource(bytes));
  }
  const Status detail =
      place.transforms().empty()
          ? ItemVerifier(place, options, has_checksums).InMemory(bytes)
          : VerifyDecoded(place, std::string(AsText(bytes)), options, has_checksums);
  return known ? Damaged(place, crc, detail) : detail;
}

Status VerifyLarge(const ItemPlace& place, const ReadableFile& file, const ReaderOptions& options,
                   bool* has_checksums, bool payload_checked) {
  const bool known = place.location().has_crc32 && !payload_checked;
  RecordCrc whole;
  if (known) {
    ItemEdges edges(&file, place.offset(), place.length());
    DCP_RETURN_IF_ERROR(
        ReadRange(file, place.offset(), place.length(), options, [&](uint64_t at, Bytes bytes) {
          whole.Add(at, bytes);
          edges.Keep(at, bytes);
          return Status::Ok();
        }));
    if (whole.Whole() == place.location().crc32) {
      *has_checksums = true;
      return HeaderFits(place, edges);
    }
  }
  Status detail;
  if (place.transforms().empty()) {
    detail = ItemVerifier(place, options, has_checksums, payload_checked)
                 .InFile(file, place.offset(), place.length());
  } else {
    DCP_ASSIGN_OR_RETURN(std::string raw, ReadRawItem(file, place, false));
    detail = VerifyDecoded(place, std::move(raw), options, has_checksums);
  }
  return known ? Damaged(place, whole.Whole(), detail) : detail;
}

}  // namespace

Status ItemReader::VerifyItem(const Entry& entry, uint32_t chunk, const ReaderOptions& options,
                              bool* has_checksums, Bytes item, bool payload_checked) {
  bool ignored;
  if (has_checksums == nullptr) has_checksums = &ignored;
  *has_checksums = false;
  DCP_RETURN_IF_ERROR(CheckReaderOptions(options));
  DCP_RETURN_IF_ERROR(options.cancel.Check());
  DCP_ASSIGN_OR_RETURN(const ItemPlace place, FindItem(*metadata_, entry, chunk));
  auto opened = OpenFile(place.location().file);
  if (!opened.ok()) return AboutItem(opened.status(), place);
  const std::shared_ptr<ReadableFile> file = *std::move(opened);
  const auto verify = [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckInsideFile(place, file->size()));
    if (!item.empty()) return VerifySmall(place, item, options, has_checksums);
    if (place.length() > std::min<uint64_t>(kReadAtOnce, options.pool->buffer_size())) {
      return VerifyLarge(place, *file, options, has_checksums, payload_checked);
    }
    DCP_ASSIGN_OR_RETURN(const PooledBuffer buffer,
                         options.pool->Acquire(options.cancel, place.length()));
    const MutableBytes bytes = buffer.bytes().first(place.length());
    DCP_RETURN_IF_ERROR(file->ReadAt(place.offset(), bytes));
    return VerifySmall(place, bytes, options, has_checksums);
  };
  DCP_RETURN_IF_ERROR(AboutItem(verify(), place));
  return options.progress == nullptr ? Status::Ok() : options.progress->Advance(place.length(), 1);
}

Status ItemReader::VerifyHeader(const Entry& entry, uint32_t chunk, const ByteSource& item) {
  DCP_ASSIGN_OR_RETURN(const ItemPlace place, FindItem(*metadata_, entry, chunk));
  return AboutItem(HeaderFits(place, item), place);
}

}  // namespace dcp
