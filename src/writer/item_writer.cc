#include "writer/item_writer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/checksum.h"
#include "tensorio/object_item.h"

namespace dcp {
namespace {

constexpr uint64_t kPage = 4096;
// What is written before progress is told: a small item takes a microsecond, and so does telling.
constexpr uint64_t kTellBytes = 1 << 20;
constexpr uint64_t kTellItems = 64;

}  // namespace

Status ItemWriter::Step(uint64_t bytes, uint64_t items) {
  if (stop_.load(std::memory_order_relaxed)) {
    return Status(Code::kCancelled, "stopped because another data file failed");
  }
  DCP_RETURN_IF_ERROR(options_.cancel.Check());
  untold_bytes_ += bytes;
  untold_items_ += items;
  return untold_bytes_ < kTellBytes && untold_items_ < kTellItems ? Status::Ok() : TellProgress();
}

Status ItemWriter::TellProgress() {
  const uint64_t bytes = std::exchange(untold_bytes_, 0);
  const uint64_t items = std::exchange(untold_items_, 0);
  return options_.progress == nullptr ? Status::Ok() : options_.progress->Advance(bytes, items);
}

Status ItemWriter::Write(const WriteJob& job, FileStream& stream, WrittenItem* item) {
  item->offset = stream.position();
  if (!options_.transforms.empty()) {
    DCP_RETURN_IF_ERROR(WriteEncoded(job, stream, item));
  } else if (job.tensor != nullptr) {
    DCP_RETURN_IF_ERROR(WriteTensor(*job.tensor, stream, item));
  } else {
    const ByteSink sink = [&](Bytes piece) -> Status {
      item->crc32 = Crc32(item->crc32, piece);
      DCP_RETURN_IF_ERROR(Step(0, 0));
      return stream.Append(piece);
    };
    DCP_RETURN_IF_ERROR(EncodeObjectItem(*job.object, sink));
  }
  item->length = stream.position() - item->offset;
  return Step(0, 1);
}

Status ItemWriter::WriteTensor(const Tensor& tensor, FileStream& stream, WrittenItem* item) {
  DCP_ASSIGN_OR_RETURN(const StoredForm* form, layouts_.Get(tensor));
  const TensorItemLayout* layout = &form->layout;
  DCP_ASSIGN_OR_RETURN(PayloadSource source,
                       PayloadSource::Create(tensor, form->strides, options_.copier));
  if (layout->payload_size() >= options_.align_from && layout->payload_size() > 0) {
    const uint64_t payload = stream.position() + layout->prefix().size();
    DCP_RETURN_IF_ERROR(stream.AppendZeros(AlignUp(payload, kPage) - payload));
    item->offset = stream.position();
  }
  DCP_RETURN_IF_ERROR(stream.Append(AsBytes(layout->prefix())));
  crc_.Begin(layout->block_checksums());
  if (source.straight() != nullptr) {
    DCP_RETURN_IF_ERROR(SendStraight(source.straight(), layout->payload_size(), stream));
  } else {
    DCP_RETURN_IF_ERROR(StreamPayload(source, layout->payload_size(), stream));
  }
  const uint32_t crc = crc_.End();
  suffix_.clear();
  layout->AppendSuffix(crc, crc_.blocks(), &suffix_);
  item->crc32 = layout->ItemCrc(crc, AsBytes(suffix_));
  return stream.Append(AsBytes(suffix_));
}

Status ItemWriter::SendStraight(const std::byte* data, uint64_t size, FileStream& stream) {
  for (uint64_t done = 0; done < size;) {
    size_t part = stream.Sendable(data + done, size - done);
    if (part > 0) {
      const Bytes bytes(data + done, part);
      crc_.Add(bytes);
      DCP_RETURN_IF_ERROR(stream.Send(bytes));
    } else {
      DCP_ASSIGN_OR_RETURN(MutableBytes room, stream.Room());
      part = static_cast<size_t>(std::min<uint64_t>(room.size(), size - done));
      crc_.AddCopy(room.data(), Bytes(data + done, part));
      stream.Advance(part);
    }
    done += part;
    DCP_RETURN_IF_ERROR(Step(part, 0));
  }
  return Status::Ok();
}

Status ItemWriter::StreamPayload(const PayloadSource& source, uint64_t size, FileStream& stream) {
  const size_t unit = source.unit();
  for (uint64_t done = 0; done < size;) {
    DCP_ASSIGN_OR_RETURN(MutableBytes room, stream.Room());
    size_t part = static_cast<size_t>(
        std::min<uint64_t>(std::min(room.size(), FileStream::kStep), size - done));
    part -= part % unit;
    if (part > 0) {
      const MutableBytes bytes = room.first(part);
      DCP_RETURN_IF_ERROR(source.Fill(done, bytes));
      crc_.Add(bytes);
      stream.Advance(part);
    } else {  // an element across the end of the block
      std::array<std::byte, 16> element;
      part = unit;
      const MutableBytes bytes = MutableBytes(element).first(unit);
      DCP_RETURN_IF_ERROR(source.Fill(done, bytes));
      crc_.Add(bytes);
      DCP_RETURN_IF_ERROR(stream.Append(bytes));
    }
    done += part;
    DCP_RETURN_IF_ERROR(Step(part, 0));
  }
  return Status::Ok();
}

Status ItemWriter::WriteEncoded(const WriteJob& job, FileStream& stream, WrittenItem* item) {
  DCP_ASSIGN_OR_RETURN(EncodeChain chain, EncodeChain::Create(options_.transforms));
  const ByteSink sink = [&stream, item](Bytes bytes) {
    item->crc32 = Crc32(item->crc32, bytes);
    return stream.Append(bytes);
  };
  if (job.tensor == nullptr) {
    DCP_ASSIGN_OR_RETURN(std::string bytes, EncodeObjectItem(*job.object));
    DCP_RETURN_IF_ERROR(chain.Push(AsBytes(bytes), sink));
    return chain.Finish(sink);
  }
  const Tensor& tensor = *job.tensor;
  DCP_ASSIGN_OR_RETURN(const StoredForm* form, layouts_.Get(tensor));
  const TensorItemLayout* layout = &form->layout;
  DCP_ASSIGN_OR_RETURN(PayloadSource source,
                       PayloadSource::Create(tensor, form->strides, options_.copier));
  DCP_RETURN_IF_ERROR(chain.Push(AsBytes(layout->prefix()), sink));
  crc_.Begin(layout->block_checksums());
  const uint64_t size = layout->payload_size();
  if (source.straight() == nullptr) scratch_.resize(FileStream::kStep);
  for (uint64_t done = 0; done < size;) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(FileStream::kStep, size - done));
    Bytes bytes(source.straight() + done, part);
    if (source.straight() == nullptr) {
      DCP_RETURN_IF_ERROR(source.Fill(done, MutableBytes(scratch_).first(part)));
      bytes = Bytes(scratch_).first(part);
    }
    crc_.Add(bytes);
    DCP_RETURN_IF_ERROR(chain.Push(bytes, sink));
    done += part;
    DCP_RETURN_IF_ERROR(Step(part, 0));
  }
  const uint32_t crc = crc_.End();
  suffix_.clear();
  layout->AppendSuffix(crc, crc_.blocks(), &suffix_);
  DCP_RETURN_IF_ERROR(chain.Push(AsBytes(suffix_), sink));
  return chain.Finish(sink);
}

}  // namespace dcp
