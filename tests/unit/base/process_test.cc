#include "base/process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "support/checks.h"

namespace dcp {
namespace {

// The exit status of a child that is done with `body`, or -1.
template <typename Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

std::string IsThisProcess() {
  CHECK_THAT(ThisProcess() == getpid());
  CHECK_THAT(ThisProcess() == getpid());
  pid_t elsewhere = 0;
  std::thread([&] { elsewhere = ThisProcess(); }).join();
  CHECK_THAT(elsewhere == getpid());
  return {};
}

std::string AChildIsAnother() {
  const pid_t parent = ThisProcess();
  const int status = InChild([parent] {
    if (ThisProcess() == parent || ThisProcess() != getpid()) return 1;
    const pid_t child = ThisProcess();
    return InChild([&] { return ThisProcess() == getpid() && ThisProcess() != child ? 0 : 2; });
  });
  CHECK_THAT(status == 0);
  CHECK_THAT(ThisProcess() == parent);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {DCP_CHECKED(IsThisProcess), DCP_CHECKED(AChildIsAnother)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
