// System calls that fail or are forbidden, as a container's filter or a sick disk would have it:
// each case runs in a child whose seccomp filter answers one call with an errno.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <functional>

#include "storage/open.h"
#include "support/checks.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

struct Refusal {
  long call;
  int error;
};

bool Refuse(const std::vector<Refusal>& refusals) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const Refusal& refusal : refusals) {
    program.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(refusal.call), 0, 1));
    program.push_back(
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(refusal.error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

constexpr int kNoFilters = 100;  // exit code where the system has no seccomp
constexpr int kOther = 101;

// The code of the Status that `work` gives in a child where the calls are refused, or one of the
// above.
int InSandbox(const std::vector<Refusal>& refusals, const std::function<Status()>& work) {
  pid_t child = fork();
  if (child < 0) return kOther;
  if (child == 0) {
    alarm(20);
    if (!Refuse(refusals)) _exit(kNoFilters);
    _exit(static_cast<int>(work().code()));
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return kOther;
  return WEXITSTATUS(status);
}

bool HaveFilters() {
  return InSandbox({}, [] { return Status::Ok(); }) == 0;
}

constexpr size_t kBlock = 1 << 20;

// Two blocks, the second one cut to `kBlock + 5` bytes in all.
Status WriteTwoBlocks(Store& store, std::string_view path, const std::byte* block) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Create(path, {}));
  for (uint64_t i = 0; i < 2; ++i) {
    DCP_RETURN_IF_ERROR(file->Start(i * kBlock, AsBytes(block, kBlock), i));
    DCP_RETURN_IF_ERROR(file->Wait().status());
  }
  return file->Finish(kBlock + 5, true);
}

Status ReadCold(Store& store, std::string_view path, std::byte* block) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Open(path));
  DCP_ASSIGN_OR_RETURN(auto queue, file->NewQueue(true));
  for (uint64_t i = 0; i < 2; ++i) {
    DCP_RETURN_IF_ERROR(queue->Start(i * kBlock, {block, kBlock}, i));
    DCP_ASSIGN_OR_RETURN(ReadQueue::Done done, queue->Wait());
    if (done.size != (i == 0 ? kBlock : 5)) return Status(Code::kInternal, "wrong size");
  }
  return Status::Ok();
}

std::string ForbiddenCallsAreReplaced() {
  if (!HaveFilters()) return {};
  TempFolder folder;
  auto* block = static_cast<std::byte*>(std::aligned_alloc(4096, kBlock));
  std::fill(block, block + kBlock, std::byte{'b'});
  const std::vector<Refusal> sets[] = {
      {{SYS_io_uring_setup, EPERM}},
      {{SYS_io_uring_setup, ENOSYS}, {SYS_openat2, ENOSYS}},
      {{SYS_openat2, EPERM}, {SYS_statx, ENOSYS}},
      {{SYS_io_uring_setup, ENOMEM}, {SYS_openat2, EPERM}, {SYS_statx, EPERM}},
  };
  for (const auto& refusals : sets) {
    int code = InSandbox(refusals, [&]() -> Status {
      if (refusals[0].call == SYS_io_uring_setup && IoUringWorks()) {
        return Status(Code::kInternal, "io_uring is forbidden, yet it works");
      }
      DCP_ASSIGN_OR_RETURN(auto store, OpenStore(folder / "new/ckpt", {}));
      DCP_RETURN_IF_ERROR(store->MakeRoot());
      DCP_RETURN_IF_ERROR(WriteTwoBlocks(*store, "f", block));
      DCP_RETURN_IF_ERROR(ReadCold(*store, "f", block));
      if (store->Open("../ckpt/f").ok() || symlink("f", (folder / "new/ckpt/l").c_str()) != 0 ||
          store->Open("l").status().code() != Code::kInvalidArgument) {
        return Status(Code::kInternal, "a link was followed");
      }
      DCP_RETURN_IF_ERROR(store->Rename("f", "l"));
      DCP_RETURN_IF_ERROR(store->SyncFolder());
      return store->Remove("l");
    });
    CHECK_THAT(code == 0);
  }
  std::free(block);
  return {};
}

std::string FailingCallsAreReported() {
  if (!HaveFilters()) return {};
  TempFolder folder;
  auto* block = static_cast<std::byte*>(std::aligned_alloc(4096, kBlock));
  std::fill(block, block + kBlock, std::byte{'b'});
  LocalStoreOptions options;
  options.io_uring = false;  // a filter does not see what a ring does
  auto opened = OpenStore(folder.path(), options);
  CHECK_OK(opened);
  Store& store = **opened;
  CHECK_OK(WriteTwoBlocks(store, "old", block));

  auto write = [&] { return WriteTwoBlocks(store, "new", block); };
  auto read = [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(auto file, store.Open("old"));
    return file->ReadAt(0, {block, kBlock});
  };
  struct Case {
    Refusal refusal;
    std::function<Status()> work;
    Code expected;
  };
  const Case cases[] = {
      {{SYS_pwrite64, ENOSPC}, write, Code::kIo},
      {{SYS_pwrite64, EIO}, write, Code::kIo},
      {{SYS_ftruncate, EIO}, write, Code::kIo},
      {{SYS_fdatasync, EIO}, write, Code::kIo},
      {{SYS_fdatasync, ENOSPC}, write, Code::kIo},
      {{SYS_close, EIO}, write, Code::kIo},
      {{SYS_close, EINTR}, write, Code::kOk},  // Linux has closed it all the same
      {{SYS_pread64, EIO}, read, Code::kIo},
      {{SYS_pread64, EIO}, [&] { return ReadCold(store, "old", block); }, Code::kIo},
      {{SYS_openat2, EACCES}, read, Code::kIo},
      {{SYS_openat2, EMFILE}, read, Code::kIo},
      {{SYS_fsync, EIO}, [&] { return store.SyncFolder(); }, Code::kIo},
      {{SYS_fsync, EIO},
       [&]() -> Status {
         DCP_ASSIGN_OR_RETURN(auto other, OpenStore(folder / "made", {}));
         DCP_RETURN_IF_ERROR(other->MakeRoot());
         return other->SyncFolder();
       },
       Code::kIo},
      {{SYS_getdents64, EIO}, [&] { return store.List().status(); }, Code::kIo},
      {{SYS_unlinkat, EACCES}, [&] { return store.Remove("old"); }, Code::kIo},
  };
  for (const Case& one : cases) {
    int code = InSandbox({one.refusal}, one.work);
    if (code != static_cast<int>(one.expected)) {
      return fmt::format("call {} failing with {} gave code {}, not {}", one.refusal.call,
                         one.refusal.error, code, static_cast<int>(one.expected));
    }
    auto old = ReadWholeFile(store, "old", 2 * kBlock);
    CHECK_OK(old);
    CHECK_THAT(*old == std::string(kBlock + 5, 'b'));
  }
  std::free(block);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<ForbiddenCallsAreReplaced>),
      cmocka_unit_test(Checked<FailingCallsAreReported>),
  };
  return cmocka_run_group_tests_name("storage/refused_calls", tests, nullptr, nullptr);
}
