#include "reader/counting_source.h"
#include "reader/item_place.h"
#include "reader/reader.h"
#include "reader/stored_check.h"
#include "reader/whole_item.h"
#include "value/names.h"

namespace dcp {
namespace {

Status CheckTensorEntry(const Entry& entry) {
  if (entry.kind == EntryKind::kTensor) return Status::Ok();
  return Error(Code::kInvalidArgument, "'{}' is no tensor; read it as an object",
               PrintableName(entry.name));
}

Status CheckMappable(const StoredTensor& stored, const ItemPlace& place) {
  DCP_RETURN_IF_ERROR(CheckLoadable(stored, place));
  DCP_RETURN_IF_ERROR(CheckRecords(stored, place.length()));
  if (stored.deflated) {
    return Status(Code::kUnsupported, "it is compressed and cannot be mapped; read it");
  }
  if (stored.conj || stored.neg) {
    return Error(Code::kUnsupported,
                 "it is stored as the {} of its values and cannot be mapped; read it",
                 stored.conj ? "complex conjugate" : "negative");
  }
  return Status::Ok();
}

}  // namespace

Result<StoredTensor> ItemReader::Inspect(const Entry& entry, uint32_t chunk,
                                         const ReaderOptions& options) {
  DCP_RETURN_IF_ERROR(CheckTensorEntry(entry));
  DCP_ASSIGN_OR_RETURN(const ItemPlace place, FindItem(*metadata_, entry, chunk));
  DCP_ASSIGN_OR_RETURN(const std::shared_ptr<ReadableFile> file, OpenFile(place.location().file));
  const auto inspect = [&]() -> Result<StoredTensor> {
    DCP_RETURN_IF_ERROR(CheckInsideFile(place, file->size()));
    if (place.transforms().empty()) {
      return ParseTensorItem(CountingSource(file.get(), place.offset(), place.length(), nullptr));
    }
    DCP_ASSIGN_OR_RETURN(const uint64_t limit, DecodedTensorLimit(place));
    DCP_ASSIGN_OR_RETURN(std::string raw, ReadRawItem(*file, place, options.verify));
    DCP_ASSIGN_OR_RETURN(const std::string decoded,
                         DecodeItem(std::move(raw), place, limit, options));
    return ParseTensorItem(MemorySource(AsBytes(decoded)));
  };
  auto stored = inspect();
  if (!stored.ok()) return AboutItem(stored.status(), place);
  return stored;
}

Result<Tensor> ItemReader::MapChunk(const Entry& entry, uint32_t chunk,
                                    const ReaderOptions& options) {
  DCP_RETURN_IF_ERROR(CheckTensorEntry(entry));
  DCP_ASSIGN_OR_RETURN(const ItemPlace place, FindItem(*metadata_, entry, chunk));
  if (!place.transforms().empty()) {
    return AboutItem(Error(Code::kUnsupported, "it passed through {} and cannot be mapped; read it",
                           place.transforms().back()),
                     place);
  }
  if (!entry.unknown_dtype.empty()) {
    return AboutItem(Error(Code::kUnsupported, "its type '{}' is not known here",
                           PrintableName(entry.unknown_dtype)),
                     place);
  }
  DCP_ASSIGN_OR_RETURN(const StoredTensor stored, Inspect(entry, chunk, options));
  DCP_ASSIGN_OR_RETURN(const std::shared_ptr<ReadableFile> file, OpenFile(place.location().file));
  const auto map = [&]() -> Result<Tensor> {
    DCP_RETURN_IF_ERROR(CheckMappable(stored, place));
    DCP_ASSIGN_OR_RETURN(const int64_t elements, NumElements(stored.shape));
    Result<Tensor> tensor = Status(Code::kInternal, "not mapped");
    if (elements == 0) {
      tensor = Tensor::Borrow(stored.dtype, stored.shape, stored.strides, nullptr);
    } else {
      const int64_t item = DTypeSize(stored.dtype);
      DCP_ASSIGN_OR_RETURN(const int64_t extent, StorageExtent(stored.shape, stored.strides));
      const uint64_t skipped = static_cast<uint64_t>(stored.storage_offset * item);
      DCP_ASSIGN_OR_RETURN(ReadableFile::Mapping mapping,
                           file->Map(place.offset() + stored.data_offset + skipped,
                                     static_cast<uint64_t>(extent * item)));
      const size_t alignment = static_cast<size_t>(std::min<int64_t>(item, 8));
      if (reinterpret_cast<uintptr_t>(mapping.bytes.data()) % alignment != 0) {
        return Error(Code::kUnsupported,
                     "its bytes do not begin at a multiple of {} in the file and cannot be used "
                     "as {} in place; read it",
                     alignment, DTypeName(stored.dtype));
      }
      tensor = Tensor::Borrow(stored.dtype, stored.shape, stored.strides,
                              const_cast<std::byte*>(mapping.bytes.data()), mapping.owner);
    }
    if (tensor.ok()) tensor->read_only = true;
    return tensor;
  };
  auto tensor = map();
  if (!tensor.ok()) return AboutItem(tensor.status(), place);
  return tensor;
}

}  // namespace dcp
