#include "metadata/file_input.h"

#include <algorithm>
#include <exception>
#include <new>
#include <span>
#include <system_error>
#include <utility>

#include "base/checksum.h"
#include "metadata/trailer.h"

namespace dcp {
namespace {

// What is smaller is read at once.
constexpr size_t kLargeFile = 4 << 20;
constexpr size_t kBlock = 1 << 20;
constexpr size_t kAhead = 8 * kBlock;
constexpr size_t kShortestStep = 1 << 12;

Result<std::string> ReadTrailer(const ByteSource& file) {
  std::string end(static_cast<size_t>(std::min<uint64_t>(file.size(), kTrailerSize)), '\0');
  DCP_RETURN_IF_ERROR(
      file.ReadAt(file.size() - end.size(), std::as_writable_bytes(std::span(end))));
  if (!EndsInTrailer(AsBytes(end))) end.clear();
  return end;
}

}  // namespace

Result<std::unique_ptr<FileInput>> FileInput::New(const ByteSource& file) {
  try {
    const Bytes in_memory = file.InMemory();
    const auto size = static_cast<size_t>(file.size());
    if (in_memory.size() == size) {
      std::string trailer;
      if (EndsInTrailer(in_memory)) trailer = AsText(in_memory.last(kTrailerSize));
      const Bytes body = in_memory.first(size - trailer.size());
      return std::unique_ptr<FileInput>(new FileInput(file, body, std::move(trailer)));
    }
    DCP_ASSIGN_OR_RETURN(std::string trailer, ReadTrailer(file));
    PageBuffer pages(size - trailer.size());
    std::unique_ptr<FileInput> input(new FileInput(file, std::move(pages), std::move(trailer)));
    if (size >= kLargeFile) input->StartFetching();
    return input;
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "no memory for a file of {} bytes", file.size());
  }
}

FileInput::FileInput(const ByteSource& file, Bytes in_memory, std::string trailer)
    : Input(in_memory), file_(file), pages_(0), trailer_(std::move(trailer)), borrowed_(true) {}

FileInput::FileInput(const ByteSource& file, PageBuffer pages, std::string trailer)
    : Input(pages.bytes(), Nothing()),
      file_(file),
      pages_(std::move(pages)),
      trailer_(std::move(trailer)),
      borrowed_(false) {}

FileInput::~FileInput() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  thread_.join();
}

uint32_t FileInput::crc32() const { return Crc32(crc_, AsBytes(trailer_)); }

size_t FileInput::step() const {
  if (borrowed_) return SIZE_MAX;
  return std::clamp<size_t>(bytes().size() / 64, kShortestStep, kBlock);
}

void FileInput::Pass(size_t offset) {
  if (!borrowed_ && !first_pass_) pages_.DiscardBefore(offset);
}

Status FileInput::Fetch(size_t begin, size_t end) {
  const MutableBytes part = pages_.mutable_bytes().subspan(begin, end - begin);
  DCP_RETURN_IF_ERROR(file_.ReadAt(begin, part));
  file_.WillNeed(end, std::min<uint64_t>(file_.size() - end, kAhead));
  crc_ = Crc32(crc_, part);
  return Status::Ok();
}

void FileInput::StartFetching() {
  try {
    thread_ = std::thread([this] { FetchAll(); });
  } catch (const std::system_error&) {
    // LoadMore then does it.
  }
}

void FileInput::FetchAll() {
  const size_t size = bytes().size();
  for (size_t begin = 0; begin < size;) {
    const size_t end = std::min(begin + kBlock, size);
    Status status;
    try {
      status = Fetch(begin, end);
    } catch (const std::bad_alloc&) {
      status = Status(Code::kOutOfMemory, "no memory left while metadata was read");
    } catch (const std::exception& problem) {
      status = Error(Code::kInternal, "unexpected exception while metadata was read: {}",
                     problem.what());
    }
    const std::lock_guard lock(mutex_);
    failure_ = std::move(status);
    if (failure_.ok()) fetched_ = begin = end;
    more_.notify_one();
    if (!failure_.ok() || stop_) return;
  }
}

Status FileInput::LoadMore(size_t end) {
  if (!thread_.joinable()) {
    if (failure_.ok()) failure_ = Fetch(ready(), bytes().size());
    if (failure_.ok()) set_ready(bytes().size());
    return failure_;
  }
  std::unique_lock lock(mutex_);
  more_.wait(lock, [&] { return fetched_ >= end || !failure_.ok(); });
  if (fetched_ < end) return failure_;
  set_ready(fetched_);
  return Status::Ok();
}

Status FileInput::Restart() {
  if (borrowed_) crc_ = Crc32(0, bytes());
  DCP_RETURN_IF_ERROR(Load(bytes().size()));
  if (thread_.joinable()) thread_.join();
  first_pass_ = false;
  if (!has_trailer()) return Status::Ok();
  return CheckTrailer(AsBytes(trailer_), bytes().size(), crc_);
}

}  // namespace dcp
