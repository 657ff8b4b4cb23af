// stream.zstd: an item is one zstd frame, as upstream writes it.
#include "transform/transform.h"

#if DCP_WITH_ZSTD

#include <zstd.h>
#include <zstd_errors.h>

#include <new>

#include "transform/version.h"

namespace dcp {
namespace {

constexpr std::string_view kName = "stream.zstd";
constexpr std::string_view kVersion = "1";

// The largest window any regular level (1 to 22) writes, and zstd's own default limit: 128 MiB.
// Frames of "ultra long" windows are refused instead of taking gigabytes.
constexpr int kMaxWindowLog = 27;

struct FreeEncoder {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecoder {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Status ZstdError(Code code, std::string_view action, size_t result) {
  ZSTD_ErrorCode error = ZSTD_getErrorCode(result);
  if (error == ZSTD_error_memory_allocation) code = Code::kOutOfMemory;
  if (error == ZSTD_error_frameParameter_windowTooLarge) code = Code::kLimit;
  return Error(code, "{}: {}: {}", kName, action, ZSTD_getErrorName(result));
}

Result<std::string> NewBuffer(size_t size) {
  try {
    return std::string(size, '\0');
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "{}: no memory for a buffer of {} bytes", kName, size);
  }
}

class Encoder final : public TransformStream {
 public:
  Encoder(std::unique_ptr<ZSTD_CCtx, FreeEncoder> context, std::string buffer)
      : context_(std::move(context)), buffer_(std::move(buffer)) {}

  Status Push(Bytes in, const ByteSink& out) override { return Run(in, ZSTD_e_continue, out); }
  Status Finish(const ByteSink& out) override { return Run({}, ZSTD_e_end, out); }

 private:
  Status Run(Bytes in, ZSTD_EndDirective directive, const ByteSink& out) {
    ZSTD_inBuffer from = {in.data(), in.size(), 0};
    while (true) {
      ZSTD_outBuffer to = {buffer_.data(), buffer_.size(), 0};
      size_t left = ZSTD_compressStream2(context_.get(), &to, &from, directive);
      if (ZSTD_isError(left) != 0) return ZstdError(Code::kInternal, "cannot compress", left);
      if (to.pos > 0) DCP_RETURN_IF_ERROR(out(AsBytes(buffer_.data(), to.pos)));
      bool done = directive == ZSTD_e_end ? left == 0 : from.pos == from.size;
      if (done) return Status::Ok();
    }
  }

  std::unique_ptr<ZSTD_CCtx, FreeEncoder> context_;
  std::string buffer_;
};

// Takes frames one after the other, as zstd's own tools do: upstream's pyzstd path ends a frame at
// each flush.
class Decoder final : public TransformStream {
 public:
  Decoder(std::unique_ptr<ZSTD_DCtx, FreeDecoder> context, std::string buffer)
      : context_(std::move(context)), buffer_(std::move(buffer)) {}

  Status Push(Bytes in, const ByteSink& out) override {
    ZSTD_inBuffer from = {in.data(), in.size(), 0};
    bool full = false;  // the last call filled the buffer, so more may be waiting
    while (from.pos < from.size || full) {
      ZSTD_outBuffer to = {buffer_.data(), buffer_.size(), 0};
      size_t before = from.pos;
      size_t left = ZSTD_decompressStream(context_.get(), &to, &from);
      if (ZSTD_isError(left) != 0) {
        return ZstdError(Code::kCorrupt, fmt::format("damaged at byte {}", seen_ + from.pos), left);
      }
      if (from.pos == before && to.pos == 0) break;
      in_frame_ = left != 0;
      any_frame_ = any_frame_ || left == 0;
      full = in_frame_ && to.pos == to.size;
      if (to.pos > 0) DCP_RETURN_IF_ERROR(out(AsBytes(buffer_.data(), to.pos)));
    }
    seen_ += in.size();
    return Status::Ok();
  }

  Status Finish(const ByteSink& /*out*/) override {
    if (any_frame_ && !in_frame_) return Status::Ok();
    return Error(Code::kCorrupt, "{}: the data ends inside a frame, after {} bytes", kName, seen_);
  }

 private:
  std::unique_ptr<ZSTD_DCtx, FreeDecoder> context_;
  std::string buffer_;
  uint64_t seen_ = 0;  // bytes of input
  bool in_frame_ = false;
  bool any_frame_ = false;  // one was complete
};

class Zstd final : public Transform {
 public:
  explicit Zstd(int level) : level_(level) {}
  std::string_view name() const override { return kName; }
  std::string_view version() const override { return kVersion; }

  Result<std::unique_ptr<TransformStream>> NewEncoder() const override {
    if (level_ < ZSTD_minCLevel() || level_ > ZSTD_maxCLevel()) {
      return Error(Code::kInvalidArgument, "{}: level {} is not in {} to {}", kName, level_,
                   ZSTD_minCLevel(), ZSTD_maxCLevel());
    }
    std::unique_ptr<ZSTD_CCtx, FreeEncoder> context(ZSTD_createCCtx());
    if (context == nullptr) return Error(Code::kOutOfMemory, "{}: no memory", kName);
    for (auto [parameter, value] :
         {std::pair(ZSTD_c_compressionLevel, level_), std::pair(ZSTD_c_checksumFlag, 1)}) {
      size_t result = ZSTD_CCtx_setParameter(context.get(), parameter, value);
      if (ZSTD_isError(result) != 0) return ZstdError(Code::kInternal, "cannot set up", result);
    }
    DCP_ASSIGN_OR_RETURN(std::string buffer, NewBuffer(ZSTD_CStreamOutSize()));
    return std::unique_ptr<TransformStream>(
        std::make_unique<Encoder>(std::move(context), std::move(buffer)));
  }

  Result<std::unique_ptr<TransformStream>> NewDecoder(std::string_view stored) const override {
    DCP_RETURN_IF_ERROR(CheckTransformVersion(kName, stored, kVersion));
    std::unique_ptr<ZSTD_DCtx, FreeDecoder> context(ZSTD_createDCtx());
    if (context == nullptr) return Error(Code::kOutOfMemory, "{}: no memory", kName);
    size_t result = ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
    if (ZSTD_isError(result) != 0) return ZstdError(Code::kInternal, "cannot set up", result);
    DCP_ASSIGN_OR_RETURN(std::string buffer, NewBuffer(ZSTD_DStreamOutSize()));
    return std::unique_ptr<TransformStream>(
        std::make_unique<Decoder>(std::move(context), std::move(buffer)));
  }

 private:
  const int level_;
};

}  // namespace

std::shared_ptr<const Transform> NewZstdTransform(int level) {
  return std::make_shared<Zstd>(level);
}

}  // namespace dcp

#else

namespace dcp {

std::shared_ptr<const Transform> NewZstdTransform(int /*level*/) { return nullptr; }

}  // namespace dcp

#endif
