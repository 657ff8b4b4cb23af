#include "zip/inflate.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <zlib.h>

namespace dcp::zip {

struct InflateStream::Rep {
  const ByteSource* source;
  Bytes memory;
  uint64_t offset;  // of the next byte to hand to zlib
  uint64_t left;
  uint64_t begin;
  z_stream stream{};
  bool initialised = false;
  bool ended = false;
  std::vector<std::byte> buffer;

  ~Rep() {
    if (initialised) inflateEnd(&stream);
  }
  Status Refill();
};

namespace {
constexpr size_t kInput = 65536;
}

Status InflateStream::Rep::Refill() {
  size_t step = static_cast<size_t>(std::min<uint64_t>(left, kInput));
  const std::byte* from;
  if (!memory.empty()) {
    from = memory.data() + offset;
  } else {
    buffer.resize(kInput);
    DCP_RETURN_IF_ERROR(source->ReadAt(offset, MutableBytes(buffer).first(step)));
    from = buffer.data();
  }
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(from));
  stream.avail_in = static_cast<uInt>(step);
  offset += step;
  left -= step;
  return Status::Ok();
}

InflateStream::InflateStream(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
InflateStream::InflateStream(InflateStream&&) noexcept = default;
InflateStream& InflateStream::operator=(InflateStream&&) noexcept = default;
InflateStream::~InflateStream() = default;

uint64_t InflateStream::consumed() const {
  return rep_->offset - rep_->begin - rep_->stream.avail_in;
}

Result<InflateStream> InflateStream::Create(const ByteSource* source, uint64_t offset,
                                            uint64_t length) {
  if (offset > source->size() || length > source->size() - offset) {
    return Error(Code::kCorrupt, "zip: deflated data [{}, +{}) is outside the archive", offset,
                 length);
  }
  auto rep = std::make_unique<Rep>();
  rep->source = source;
  rep->memory = source->InMemory();
  rep->offset = rep->begin = offset;
  rep->left = length;
  if (inflateInit2(&rep->stream, -MAX_WBITS) != Z_OK) {
    return Error(Code::kOutOfMemory, "zip: no memory to inflate");
  }
  rep->initialised = true;
  return InflateStream(std::move(rep));
}

Result<size_t> InflateStream::Next(MutableBytes out) {
  size_t produced = 0;
  while (produced < out.size() && !rep_->ended) {
    if (rep_->stream.avail_in == 0 && rep_->left > 0) DCP_RETURN_IF_ERROR(rep_->Refill());
    uInt room = static_cast<uInt>(
        std::min<size_t>(out.size() - produced, std::numeric_limits<uInt>::max()));
    rep_->stream.next_out = reinterpret_cast<Bytef*>(out.data() + produced);
    rep_->stream.avail_out = room;
    int code = inflate(&rep_->stream, Z_NO_FLUSH);
    produced += room - rep_->stream.avail_out;
    if (code == Z_STREAM_END) {
      rep_->ended = true;
    } else if (code == Z_MEM_ERROR) {
      return Error(Code::kOutOfMemory, "zip: no memory to inflate");
    } else if (code != Z_OK && !(code == Z_BUF_ERROR && rep_->left > 0)) {
      return Error(Code::kCorrupt, "zip: deflated data at offset {} is damaged near byte {}",
                   rep_->begin, consumed());
    }
  }
  return produced;
}

Status InflateStream::ExpectEnd() {
  std::byte spare;
  DCP_ASSIGN_OR_RETURN(size_t more, Next({&spare, 1}));
  if (more != 0 || !rep_->ended) {
    return Error(Code::kCorrupt, "zip: deflated data at offset {} is longer than announced",
                 rep_->begin);
  }
  return Status::Ok();
}

Status InflateInto(const ByteSource& source, uint64_t offset, uint64_t length, MutableBytes out,
                   uint64_t* consumed) {
  DCP_ASSIGN_OR_RETURN(InflateStream stream, InflateStream::Create(&source, offset, length));
  DCP_ASSIGN_OR_RETURN(size_t produced, stream.Next(out));
  if (produced != out.size()) {
    return Error(Code::kCorrupt, "zip: deflated data at offset {} ends after {} of {} bytes",
                 offset, produced, out.size());
  }
  DCP_RETURN_IF_ERROR(stream.ExpectEnd());
  if (consumed != nullptr) *consumed = stream.consumed();
  return Status::Ok();
}

}  // namespace dcp::zip
