#include "checkpoint/plan_cache_digests.h"

#include <algorithm>
#include <string>

#include "checkpoint/commit.h"
#include "comm/wire_codec.h"

namespace dcp {

Result<Digest> AssignmentDigest(std::span<const uint32_t> sources) {
  return Sha256(std::as_bytes(sources));
}

Result<Digest> PlacementDigest(const WriteOutcome& outcome) {
  WireWriter out;
  out.Number(outcome.files.size());
  for (const std::string& file : outcome.files) {
    DataFile data;
    if (ParseDataFileName(file, &data)) {
      out.Number(data.n);
    } else {
      out.Text(file);
    }
  }
  for (const WrittenItem& item : outcome.items) {
    out.Number(item.file);
    out.Number(item.offset);
    out.Number(item.length);
  }
  return Sha256(AsBytes(out.Take()));
}

Result<PlanKey> MakePlanKey(const Digest& plan, const Digest& assignment, const Digest& placement) {
  std::string all;
  for (const Digest* digest : {&plan, &assignment, &placement}) all += AsText(*digest);
  DCP_ASSIGN_OR_RETURN(const Digest whole, Sha256(AsBytes(all)));
  PlanKey key;
  std::copy_n(whole.begin(), key.size(), key.begin());
  return key;
}

}  // namespace dcp
