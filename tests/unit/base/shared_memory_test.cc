#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "support/checks.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

constexpr size_t kSize = 64 << 10;

std::string AnotherProcessFindsIt() {
  auto made = SharedMemory::Create(kSize);
  CHECK_OK(made);
  SharedMemory& memory = **made;
  CHECK_THAT(memory.bytes().size() == kSize);
  CHECK_THAT(std::all_of(memory.bytes().begin(), memory.bytes().end(),
                         [](std::byte one) { return one == std::byte{0}; }));
  CHECK_THAT(memory.MakePages(0, kSize));
  const SharedMemory::Name name = memory.name();
  const pid_t child = fork();
  if (child == 0) {
    auto found = SharedMemory::Open(name, kSize);
    if (!found.ok()) _exit(1);
    (*found)->bytes()[kSize - 1] = std::byte{7};
    _exit(0);
  }
  int status = -1;
  CHECK_THAT(waitpid(child, &status, 0) == child && status == 0);
  CHECK_THAT(memory.bytes()[kSize - 1] == std::byte{7});
  return {};
}

std::string ItsSizeStays() {
  auto made = SharedMemory::Create(kSize);
  CHECK_OK(made);
  const int descriptor = (*made)->name().descriptor;
  CHECK_THAT(ftruncate(descriptor, 0) != 0);
  CHECK_THAT(ftruncate(descriptor, 2 * kSize) != 0);
  return {};
}

std::string OtherFilesAreRefused() {
  auto made = SharedMemory::Create(kSize);
  CHECK_OK(made);
  const SharedMemory::Name name = (*made)->name();
  CHECK_CODE(SharedMemory::Open(name, kSize / 2), Code::kNotFound);
  SharedMemory::Name wrong = name;
  ++wrong.inode;
  CHECK_CODE(SharedMemory::Open(wrong, kSize), Code::kNotFound);
  wrong = name;
  wrong.descriptor = 12345;
  CHECK_CODE(SharedMemory::Open(wrong, kSize), Code::kNotFound);
  wrong = name;
  wrong.process = -1;
  CHECK_CODE(SharedMemory::Open(wrong, kSize), Code::kNotFound);
  // Of the right size, but its size may change.
  const TempFolder folder;
  const int file = open((folder / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct stat found {};
  CHECK_THAT(file >= 0 && ftruncate(file, kSize) == 0 && fstat(file, &found) == 0);
  const SharedMemory::Name plain = {getpid(), file, found.st_dev, found.st_ino};
  CHECK_CODE(SharedMemory::Open(plain, kSize), Code::kNotFound);
  close(file);
  const int loose = memfd_create("loose", MFD_CLOEXEC);
  CHECK_THAT(loose >= 0 && ftruncate(loose, kSize) == 0 && fstat(loose, &found) == 0);
  const SharedMemory::Name unsealed = {getpid(), loose, found.st_dev, found.st_ino};
  CHECK_CODE(SharedMemory::Open(unsealed, kSize), Code::kNotFound);
  close(loose);
  return {};
}

std::string ItGoesWithItsMaker() {
  SharedMemory::Name name;
  {
    auto made = SharedMemory::Create(kSize);
    CHECK_OK(made);
    name = (*made)->name();
  }
  CHECK_CODE(SharedMemory::Open(name, kSize), Code::kNotFound);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {DCP_CHECKED(AnotherProcessFindsIt), DCP_CHECKED(ItsSizeStays),
                              DCP_CHECKED(OtherFilesAreRefused), DCP_CHECKED(ItGoesWithItsMaker)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
