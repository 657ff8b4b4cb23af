#include "comm/communicator.h"
#include "support/checks.h"

namespace dcp {
namespace {

constexpr Silence kForEver(-1);

std::string OneRankTalksToItself() {
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  CHECK_THAT(comm->rank() == 0);
  CHECK_THAT(comm->world_size() == 1);
  auto gathered = comm->Gather("mine", 0, kForEver);
  CHECK_OK(gathered);
  CHECK_THAT(gathered->buffers == std::vector<std::string>{"mine"} && gathered->failed.empty());
  auto all = comm->AllGather("mine", kForEver);
  CHECK_OK(all);
  CHECK_THAT(*all == std::vector<std::string>{"mine"});
  auto scattered = comm->Scatter({"part"}, 0, kForEver);
  CHECK_OK(scattered);
  CHECK_THAT(*scattered == "part");
  auto told = comm->Broadcast(std::string("a\0b", 3), 0, kForEver);
  CHECK_OK(told);
  CHECK_THAT(*told == std::string("a\0b", 3));
  CHECK_OK(comm->Barrier(Silence(0)));
  return {};
}

std::string WrongRootsAndPartsAreRefused() {
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  CHECK_CODE(comm->Gather("", 1, kForEver), Code::kInvalidArgument);
  CHECK_CODE(comm->Broadcast("", -1, kForEver), Code::kInvalidArgument);
  CHECK_CODE(comm->Scatter({}, 0, kForEver), Code::kInvalidArgument);
  CHECK_CODE(comm->Scatter({"a", "b"}, 0, kForEver), Code::kInvalidArgument);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::OneRankTalksToItself>),
      cmocka_unit_test(dcp::Checked<dcp::WrongRootsAndPartsAreRefused>),
  };
  return cmocka_run_group_tests_name("comm/single", tests, nullptr, nullptr);
}
