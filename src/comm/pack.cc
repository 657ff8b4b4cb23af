#include "comm/pack.h"

#include <utility>

#include "comm/wire_codec.h"

namespace dcp {
namespace {

constexpr char kAll = 0;
constexpr char kFailed = 1;

void WriteStatus(const Status& status, WireWriter* out) {
  out->Number(static_cast<uint64_t>(status.code()));
  out->Text(status.message());
  out->Number(status.details().size());
  for (const auto& [key, value] : status.details()) {
    out->Text(key);
    out->Text(value);
  }
}

Status ReadStatus(WireReader* in) {
  const uint64_t code = in->Number(static_cast<uint64_t>(Code::kLimit));
  if (code == 0) in->Fail();
  Status status(static_cast<Code>(code), in->Text());
  const size_t details = in->Count(2);
  for (size_t i = 0; i < details && in->ok(); ++i) {
    std::string key = in->Text();
    status = status.WithDetail(std::move(key), in->Text());
  }
  return status;
}

Status Malformed(std::string_view what) {
  return Error(Code::kCorrupt,
               "another rank sent {} that cannot be read: do all ranks run the same version of "
               "libdcp, and is the communicator theirs alone?",
               what);
}

}  // namespace

std::string PackFailures(const std::vector<RankFailure>& failures) {
  WireWriter out;
  out.Number(failures.size());
  for (const RankFailure& failure : failures) {
    out.Signed(failure.rank);
    out.Text(failure.step);
    WriteStatus(failure.status, &out);
  }
  return out.Take();
}

Result<std::vector<RankFailure>> UnpackFailures(std::string_view packed) {
  WireReader in(packed);
  std::vector<RankFailure> failures;
  for (size_t count = in.Count(5); count > 0 && in.ok(); --count) {
    RankFailure failure;
    const int64_t rank = in.Signed();
    if (rank < 0 || rank > INT32_MAX) in.Fail();
    failure.rank = static_cast<int32_t>(rank);
    failure.step = in.Text();
    failure.status = ReadStatus(&in);
    failures.push_back(std::move(failure));
  }
  if (!in.complete() || failures.empty()) return Malformed("a failure");
  return failures;
}

std::string PackVerdict(const Communicator::Gathered& gathered) {
  if (!gathered.failed.empty()) return std::string(1, kFailed) + PackFailures(gathered.failed);
  WireWriter out;
  for (const std::string& buffer : gathered.buffers) out.Text(buffer);
  return std::string(1, kAll) + out.Take();
}

Result<std::vector<std::string>> UnpackVerdict(std::string_view packed, int32_t world_size,
                                               std::string_view what) {
  if (!packed.empty() && packed[0] == kFailed) {
    DCP_ASSIGN_OR_RETURN(std::vector<RankFailure> failed, UnpackFailures(packed.substr(1)));
    return FailedRanksError(std::move(failed), world_size, what);
  }
  if (packed.empty() || packed[0] != kAll) return Malformed("an answer");
  WireReader in(packed.substr(1));
  std::vector<std::string> buffers;
  for (int32_t rank = 0; rank < world_size && in.ok(); ++rank) buffers.push_back(in.Text());
  if (!in.complete()) return Malformed("the buffers of all ranks");
  return buffers;
}

}  // namespace dcp
