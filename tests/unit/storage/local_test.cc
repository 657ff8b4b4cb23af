// What only the local store has: links, FIFOs, devices, folders, O_DIRECT, descriptors, forks.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "storage/local/file_calls.h"
#include "storage/local/ring.h"
#include "storage/local/unique_fd.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

size_t OpenDescriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

std::unique_ptr<std::byte, void (*)(void*)> Aligned(size_t size) {
  auto* data = static_cast<std::byte*>(std::aligned_alloc(4096, size));
  std::fill(data, data + size, std::byte{'d'});
  return {data, std::free};
}

Status WriteText(Store& store, std::string_view path, std::string_view text) {
  return WriteWholeFile(store, path, AsBytes(text), true);
}

// Everything a store can do with a name must refuse it, naming it, without waiting.
std::string RefusedEverywhere(Store& store, const std::string& name) {
  Status status = store.Open(name).status();
  CHECK_CODE(status, Code::kInvalidArgument);
  CHECK_THAT(status.message().find(name) != std::string::npos);
  status = store.Create(name, {}).status();
  CHECK_CODE(status, Code::kInvalidArgument);
  CHECK_THAT(status.message().find(name) != std::string::npos);
  return {};
}

std::string NotRegularFiles() {
  TempFolder folder;
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  CHECK_OK(WriteText(**store, "real", "text"));
  CHECK_THAT(mkfifo((folder / "fifo").c_str(), 0666) == 0);
  CHECK_THAT(mkdir((folder / "folder").c_str(), 0777) == 0);
  CHECK_THAT(symlink("real", (folder / "link").c_str()) == 0);
  CHECK_THAT(symlink("/dev/zero", (folder / "zero").c_str()) == 0);
  UniqueFd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::string socket_path = folder / "socket";
  CHECK_THAT(socket_path.size() < sizeof address.sun_path);
  std::copy(socket_path.begin(), socket_path.end(), address.sun_path);
  CHECK_THAT(bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  for (const char* name : {"fifo", "folder", "link", "zero", "socket", "real/below"}) {
    std::string failure = RefusedEverywhere(**store, name);
    if (!failure.empty()) return failure;
  }
  // A FIFO with a writer opens at once; it is still no file.
  UniqueFd other_end(open((folder / "fifo").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  CHECK_THAT(static_cast<bool>(other_end));
  CHECK_CODE((*store)->Open("fifo"), Code::kInvalidArgument);
  CHECK_CODE((*store)->Create("fifo", {}), Code::kInvalidArgument);
  CHECK_THAT(std::filesystem::file_size(folder / "real") == 4);
  auto names = (*store)->List();
  CHECK_OK(names);
  CHECK_THAT(*names == std::vector<std::string>{"real"});
  return {};
}

std::string Devices() {
  TempFolder folder;
  if (mknod((folder / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) {
    CHECK_THAT(errno == EPERM || errno == EACCES);  // only root may make devices
    return {};
  }
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  return RefusedEverywhere(**store, "null");
}

std::string AllowedLinks() {
  TempFolder folder;
  TempFolder other;
  LocalStoreOptions options;
  options.allow_symlinks = true;
  auto store = OpenStore(folder.path(), options);
  CHECK_OK(store);
  CHECK_OK(WriteText(**store, "real", "text"));
  CHECK_THAT(mkfifo((folder / "fifo").c_str(), 0666) == 0);
  CHECK_THAT(symlink("real", (folder / "link").c_str()) == 0);
  CHECK_THAT(symlink("fifo", (folder / "fifo_link").c_str()) == 0);
  CHECK_THAT(symlink("/dev/zero", (folder / "zero").c_str()) == 0);
  CHECK_THAT(symlink((other / "x").c_str(), (folder / "out").c_str()) == 0);
  CHECK_THAT(symlink(".", (folder / "here").c_str()) == 0);
  auto text = ReadWholeFile(**store, "link", 100);
  CHECK_OK(text);
  CHECK_THAT(*text == "text");
  CHECK_OK((*store)->Open("here/real"));
  for (const char* name : {"fifo_link", "zero", "out", "here"}) {
    CHECK_CODE((*store)->Open(name), Code::kInvalidArgument);
  }
  auto names = (*store)->List();
  CHECK_OK(names);
  std::sort(names->begin(), names->end());
  CHECK_THAT((*names == std::vector<std::string>{"link", "real"}));
  // Writing never goes through a link: it would change what lies behind it.
  CHECK_CODE((*store)->Create("link", {}), Code::kInvalidArgument);
  CHECK_CODE((*store)->Create("here/new", {}), Code::kInvalidArgument);
  CHECK_OK(WriteText(**store, "new", "new"));
  CHECK_OK((*store)->Rename("new", "link"));
  text = ReadWholeFile(**store, "real", 100);
  CHECK_OK(text);
  CHECK_THAT(*text == "text");
  return {};
}

std::string NamesOf4096Bytes() {
  TempFolder folder;
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  const std::string name(4096, 'n');
  CHECK_CODE((*store)->Open(name), Code::kInvalidArgument);
  CHECK_CODE((*store)->Create(name, {}), Code::kInvalidArgument);
  // The root itself may be refused by the system, with a message that is not longer than it.
  auto deep = OpenStore(folder / name, {});
  CHECK_OK(deep);
  CHECK_THAT(!(*deep)->MakeRoot().ok());
  CHECK_THAT((*deep)->MakeRoot().message().size() < 1000);
  return {};
}

std::string Roots() {
  TempFolder folder;
  auto store = OpenStore(folder / "a//b/c/", {});
  CHECK_OK(store);
  CHECK_CODE((*store)->Create("f", {}), Code::kNotFound);
  CHECK_CODE((*store)->SyncFolder(), Code::kNotFound);
  CHECK_OK((*store)->MakeRoot());
  CHECK_OK(WriteText(**store, "f", "x"));
  CHECK_THAT(std::filesystem::exists(folder / "a/b/c/f"));
  // Renamed away: the store stays with its folder. Removed: it finds the new one.
  std::filesystem::rename(folder / "a/b/c", folder / "moved");
  CHECK_OK((*store)->Open("f"));
  std::filesystem::remove_all(folder / "moved");
  CHECK_CODE((*store)->Open("f"), Code::kNotFound);
  CHECK_CODE((*store)->List(), Code::kNotFound);
  CHECK_OK((*store)->MakeRoot());
  auto names = (*store)->List();
  CHECK_OK(names);
  CHECK_THAT(names->empty());

  CHECK_OK(WriteText(**store, "f", "x"));
  for (const char* path : {"a/b/c/f", "a/b/c/f/below"}) {
    auto file_as_root = OpenStore(folder / path, {});
    CHECK_OK(file_as_root);
    CHECK_CODE((*file_as_root)->MakeRoot(), Code::kInvalidArgument);
    CHECK_THAT(!(*file_as_root)->List().ok());
  }
  return {};
}

std::string RelativeRoots() {
  TempFolder folder;
  std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  auto store = OpenStore("ckpt", {});
  std::filesystem::current_path(before);
  CHECK_OK(store);
  CHECK_OK((*store)->MakeRoot());
  CHECK_THAT((*store)->location() == "ckpt");
  CHECK_THAT(std::filesystem::is_directory(folder / "ckpt"));
  return {};
}

std::string DirectIsUsed() {
  TempFolder folder;
  {
    UniqueFd probe(open((folder / "probe").c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0666));
    if (!probe || DirectAlignment(probe.get()) == 0) return {};  // not on this file system
  }
  LocalStoreOptions options;
  for (bool io_uring : {false, true}) {
    options.io_uring = io_uring;
    auto store = OpenStore(folder.path(), options);
    CHECK_OK(store);
    bool ring = io_uring && IoUringWorks();
    auto writer = (*store)->Create("f", {});
    CHECK_OK(writer);
    CHECK_THAT((*writer)->alignment() == 4096);
    CHECK_THAT((*writer)->depth() == (ring ? Ring::kDepth : 1));
    auto block = Aligned(1 << 20);
    CHECK_OK((*writer)->Start(0, AsBytes(block.get(), 1 << 20), 0));
    CHECK_OK((*writer)->Wait());
    CHECK_OK((*writer)->Finish(1000001, true));
    CHECK_THAT(std::filesystem::file_size(folder / "f") == 1000001);
    auto reader = (*store)->Open("f");
    CHECK_OK(reader);
    auto cold = (*reader)->NewQueue(true);
    CHECK_OK(cold);
    CHECK_THAT((*cold)->alignment() > 1);
    CHECK_THAT((*cold)->depth() == (ring ? Ring::kDepth : 1));
    auto warm = (*reader)->NewQueue(false);
    CHECK_OK(warm);
    CHECK_THAT((*warm)->alignment() == 1);
    // A queue holds what it needs of the file.
    reader->reset();
    CHECK_OK((*cold)->Start(0, {block.get(), 1 << 20}, 5));
    auto done = (*cold)->Wait();
    CHECK_OK(done);
    CHECK_THAT(done->size == 1000001);
    CreateOptions small;
    small.expected_size = 100;
    auto tiny = (*store)->Create("tiny", small);
    CHECK_OK(tiny);
    CHECK_THAT((*tiny)->alignment() == 1);
  }
  options.direct = false;
  auto store = OpenStore(folder.path(), options);
  CHECK_OK(store);
  auto writer = (*store)->Create("g", {});
  CHECK_OK(writer);
  CHECK_THAT((*writer)->alignment() == 1);
  return {};
}

std::string ShrunkFiles() {
  TempFolder folder;
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  CHECK_OK(WriteText(**store, "f", std::string(20000, 'x')));
  auto file = (*store)->Open("f");
  CHECK_OK(file);
  auto queue = (*file)->NewQueue(true);
  CHECK_OK(queue);
  std::filesystem::resize_file(folder / "f", 10000);
  auto out = Aligned(20480);
  Status status = (*file)->ReadAt(5000, {out.get(), 10000});
  CHECK_CODE(status, Code::kCorrupt);
  CHECK_THAT(status.message().find("/f'") != std::string::npos);
  Status started = (*queue)->Start(0, {out.get(), 20480}, 1);
  if (started.ok()) {  // a plain queue notices at once
    auto done = (*queue)->Wait();
    CHECK_OK(done);
    CHECK_THAT(done->size == 10000);
  }
  return {};
}

std::string DescriptorsAreClosed() {
  TempFolder folder;
  auto block = Aligned(1 << 20);
  size_t before = OpenDescriptors();
  for (bool io_uring : {false, true}) {
    LocalStoreOptions options;
    options.io_uring = io_uring;
    auto store = OpenStore(folder.path(), options);
    CHECK_OK(store);
    CHECK_THAT(mkfifo((folder / fmt::format("fifo{}", io_uring)).c_str(), 0666) == 0);
    for (int i = 0; i < 50; ++i) {
      auto finished = (*store)->Create("f", {});
      CHECK_OK(finished);
      CHECK_OK((*finished)->Start(0, AsBytes(block.get(), 1 << 20), 0));
      CHECK_OK((*finished)->Wait());
      CHECK_OK((*finished)->Finish(1 << 20, false));
      auto unfinished = (*store)->Create("sub/g", {});
      CHECK_OK(unfinished);
      CHECK_OK((*unfinished)->Start(0, AsBytes(block.get(), 1 << 20), 0));
      auto file = (*store)->Open("f");
      CHECK_OK(file);
      CHECK_OK((*file)->NewQueue(true));
      CHECK_OK((*file)->Map(1, 100));
      CHECK_OK((*store)->List());
      CHECK_OK((*store)->Rename("f", "sub/h"));
      CHECK_OK((*store)->Remove("sub/h"));
      CHECK_OK((*store)->SyncFolder());
      CHECK_OK((*store)->MakeRoot());
      CHECK_THAT(!(*store)->Open("none").ok());
      CHECK_THAT(!(*store)->Open("fifo0").ok());
      CHECK_THAT(!(*store)->Open("sub").ok());
      CHECK_THAT(!(*store)->Create("sub", {}).ok());
      CHECK_THAT(!(*store)->Remove("sub").ok());
    }
    // The store itself keeps its folder and idle rings, not one for each file.
    CHECK_THAT(OpenDescriptors() <= before + 4);
  }
  CHECK_THAT(OpenDescriptors() == before);
  return {};
}

// A child forked with writes and reads in flight can neither finish them, nor take their
// completions from the parent, nor hang in destructors.
std::string ForkedChildrenAreHarmless() {
  TempFolder folder;
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  auto block = Aligned(1 << 20);
  auto writer = (*store)->Create("f", {});
  CHECK_OK(writer);
  size_t depth = (*writer)->depth();
  for (size_t i = 0; i < depth; ++i) {
    CHECK_OK((*writer)->Start(i << 20, AsBytes(block.get(), 1 << 20), i));
  }
  pid_t child = fork();
  CHECK_THAT(child >= 0);
  if (child == 0) {
    alarm(20);
    bool forked = (*writer)->Wait().status().code() == Code::kForked &&
                  (*writer)->Finish(1, true).code() == Code::kForked &&
                  (*writer)->Start(0, {}, 0).code() == Code::kForked;
    writer->reset();
    bool own_work = WriteText(**store, "child", "x").ok();
    auto direct = (*store)->Create("child2", {});
    own_work = own_work && direct.ok() &&
               (*direct)->Start(0, AsBytes(block.get(), 1 << 20), 0).ok() &&
               (*direct)->Wait().ok() && (*direct)->Finish(1 << 20, true).ok();
    store->reset();
    _exit(forked && own_work ? 0 : 1);
  }
  int status = 0;
  CHECK_THAT(waitpid(child, &status, 0) == child);
  CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  std::vector<bool> seen(depth);
  for (size_t i = 0; i < depth; ++i) {
    auto token = (*writer)->Wait();
    CHECK_OK(token);
    CHECK_THAT(*token < depth && !seen[*token]);
    seen[*token] = true;
  }
  CHECK_OK((*writer)->Finish(depth << 20, true));
  auto text = ReadWholeFile(**store, "f", depth << 20);
  CHECK_OK(text);
  CHECK_THAT(*text == std::string(depth << 20, 'd'));
  return {};
}

std::string FullDisk() {
  TempFolder folder;
  auto store = OpenStore(folder.path(), {});
  CHECK_OK(store);
  rlimit before;
  CHECK_THAT(getrlimit(RLIMIT_FSIZE, &before) == 0);
  sighandler_t handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = {1 << 20, before.rlim_max};
  CHECK_THAT(setrlimit(RLIMIT_FSIZE, &small) == 0);
  auto block = Aligned(1 << 20);
  Status direct;
  Status buffered;
  for (bool use_direct : {false, true}) {
    CreateOptions options;
    options.direct = use_direct;
    auto writer = (*store)->Create("f", options);
    Status& status = use_direct ? direct : buffered;
    for (uint64_t i = 0; i < 3 && status.ok(); ++i) {
      status = (*writer)->Start(i << 20, AsBytes(block.get(), 1 << 20), i);
      if (status.ok()) status = (*writer)->Wait().status();
    }
    // It stays failed.
    if ((*writer)->Finish(3 << 20, true).ok()) status = Status::Ok();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  CHECK_CODE(direct, Code::kIo);
  CHECK_CODE(buffered, Code::kIo);
  CHECK_THAT(direct.message().find("/f'") != std::string::npos);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<NotRegularFiles>),
      cmocka_unit_test(Checked<Devices>),
      cmocka_unit_test(Checked<AllowedLinks>),
      cmocka_unit_test(Checked<NamesOf4096Bytes>),
      cmocka_unit_test(Checked<Roots>),
      cmocka_unit_test(Checked<RelativeRoots>),
      cmocka_unit_test(Checked<DirectIsUsed>),
      cmocka_unit_test(Checked<ShrunkFiles>),
      cmocka_unit_test(Checked<DescriptorsAreClosed>),
      cmocka_unit_test(Checked<ForkedChildrenAreHarmless>),
      cmocka_unit_test(Checked<FullDisk>),
  };
  return cmocka_run_group_tests_name("storage/local", tests, nullptr, nullptr);
}
