#include <algorithm>
#include <string_view>

#include "comm/communicator.h"

namespace dcp {
namespace {

constexpr size_t kMostNamed = 8;

}  // namespace

std::string RankList(const std::vector<int32_t>& ranks) {
  const size_t named = ranks.size() > kMostNamed ? kMostNamed - 1 : ranks.size();
  std::string list;
  for (size_t i = 0; i < named; ++i) {
    if (i > 0) list += i + 1 == ranks.size() ? " and " : ", ";
    list += std::to_string(ranks[i]);
  }
  if (named < ranks.size()) list += fmt::format(" and {} more", ranks.size() - named);
  return list;
}

RankFailure MissingRank(int32_t rank, Silence silence) {
  return {rank, "",
          Error(Code::kTimeout, "nothing was heard of it for {} s",
                static_cast<double>(silence.count()) / 1000)};
}

Status FailedRanksError(std::vector<RankFailure> failed, int32_t world_size,
                        std::string_view what) {
  std::sort(failed.begin(), failed.end(),
            [](const RankFailure& a, const RankFailure& b) { return a.rank < b.rank; });
  std::vector<int32_t> ranks;
  bool missing = true;
  for (const RankFailure& failure : failed) {
    ranks.push_back(failure.rank);
    missing = missing && failure.status.code() == Code::kTimeout;
  }
  Status error = Error(missing ? Code::kTimeout : Code::kRankFailed, "{}: rank{} {} of {}: {}",
                       what, ranks.size() == 1 ? "" : "s", RankList(ranks), world_size,
                       failed.front().status.message());
  return error.WithRankFailures(std::move(failed));
}

Status CheckRoot(const Communicator& comm, int32_t root) {
  if (root >= 0 && root < comm.world_size()) return Status::Ok();
  return Error(Code::kInvalidArgument, "root {} is not a rank of the {} there are", root,
               comm.world_size());
}

}  // namespace dcp
