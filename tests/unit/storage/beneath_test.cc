// Names, links and races that would lead out of a folder, by openat2 and by hand.
#include "storage/local/beneath.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "storage/local/unique_fd.h"
#include "support/checks.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

using Opener = int (*)(int, const std::string&, int, mode_t, Links);
constexpr Opener kOpeners[] = {OpenBeneath, OpenBeneathByHand};

void Write(const std::string& path, const std::string& text) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) abort();
}

void Link(const std::string& target, const std::string& path) {
  if (symlink(target.c_str(), path.c_str()) != 0) abort();
}

// What reading the file that `path` leads to gives, or "errno N".
std::string Read(Opener opener, int folder, const std::string& path, Links links) {
  int fd = opener(folder, path, O_RDONLY | O_NONBLOCK, 0, links);
  if (fd < 0) return "errno " + std::to_string(-fd);
  UniqueFd owned(fd);
  char text[64];
  ssize_t size = read(fd, text, sizeof text);
  return size < 0 ? "errno " + std::to_string(errno) : std::string(text, size);
}

std::string Errno(int number) { return "errno " + std::to_string(number); }

// inside/{file, sub/deep, links...} with secrets beside it.
struct Tree {
  Tree() {
    if (mkdir((folder / "inside").c_str(), 0777) != 0) abort();
    if (mkdir((folder / "inside/sub").c_str(), 0777) != 0) abort();
    Write(folder / "secret", "secret");
    Write(folder / "inside/file", "file");
    Write(folder / "inside/sub/deep", "deep");
    Link("file", folder / "inside/to_file");
    Link("sub", folder / "inside/to_sub");
    Link("../file", folder / "inside/sub/up");
    Link("to_sub/up", folder / "inside/chain");
    Link("../secret", folder / "inside/out");
    Link("sub/../../secret", folder / "inside/sly");
    Link(folder / "secret", folder / "inside/absolute");
    Link(folder / "inside/file", folder / "inside/absolute_inside");
    Link("..", folder / "inside/to_parent");
    Link("loop", folder / "inside/loop");
    Link("nothing", folder / "inside/dangling");
    fd = UniqueFd(open((folder / "inside").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  TempFolder folder;
  UniqueFd fd;
};

std::string PlainPaths() {
  Tree tree;
  for (Opener opener : kOpeners) {
    for (Links links : {Links::kRefuse, Links::kBeneath}) {
      CHECK_THAT(Read(opener, tree.fd.get(), "file", links) == "file");
      CHECK_THAT(Read(opener, tree.fd.get(), "sub/deep", links) == "deep");
      CHECK_THAT(Read(opener, tree.fd.get(), "none", links) == Errno(ENOENT));
      CHECK_THAT(Read(opener, tree.fd.get(), "none/deep", links) == Errno(ENOENT));
      CHECK_THAT(Read(opener, tree.fd.get(), "file/deep", links) == Errno(ENOTDIR));
      CHECK_THAT(Read(opener, tree.fd.get(), "../secret", links) == Errno(EXDEV));
      CHECK_THAT(Read(opener, tree.fd.get(), "sub/../../secret", links) == Errno(EXDEV));
      CHECK_THAT(Read(opener, tree.fd.get(), "sub", links) == Errno(EISDIR));
      CHECK_THAT(Read(opener, tree.fd.get(), ".", links) == Errno(EISDIR));
    }
  }
  return {};
}

std::string RefusedLinks() {
  Tree tree;
  for (Opener opener : kOpeners) {
    for (const char* path : {"to_file", "to_sub/deep", "chain", "out", "sly", "absolute",
                             "absolute_inside", "to_parent/secret", "loop", "dangling"}) {
      CHECK_THAT(Read(opener, tree.fd.get(), path, Links::kRefuse) == Errno(ELOOP));
      int made = opener(tree.fd.get(), path, O_WRONLY | O_CREAT | O_TRUNC, 0666, Links::kRefuse);
      CHECK_THAT(made == -ELOOP);
    }
  }
  CHECK_THAT(access((tree.folder / "inside/nothing").c_str(), F_OK) != 0);
  return {};
}

std::string FollowedLinks() {
  Tree tree;
  for (Opener opener : kOpeners) {
    CHECK_THAT(Read(opener, tree.fd.get(), "to_file", Links::kBeneath) == "file");
    CHECK_THAT(Read(opener, tree.fd.get(), "to_sub/deep", Links::kBeneath) == "deep");
    CHECK_THAT(Read(opener, tree.fd.get(), "chain", Links::kBeneath) == "file");
    for (const char* path : {"out", "sly", "absolute", "absolute_inside", "to_parent/secret"}) {
      CHECK_THAT(Read(opener, tree.fd.get(), path, Links::kBeneath) == Errno(EXDEV));
    }
    CHECK_THAT(Read(opener, tree.fd.get(), "loop", Links::kBeneath) == Errno(ELOOP));
    CHECK_THAT(Read(opener, tree.fd.get(), "dangling", Links::kBeneath) == Errno(ENOENT));
  }
  return {};
}

// One thread swaps a file, and a folder on the way to one, for links that lead out; whatever moment
// the others hit, they never see the secret.
std::string SwapsNeverLeadOut() {
  Tree tree;
  const std::string inside = tree.folder / "inside/";
  if (mkdir((inside + "dir").c_str(), 0777) != 0) abort();
  if (mkdir((tree.folder / "evil").c_str(), 0777) != 0) abort();
  Write(inside + "dir/file", "file");
  Write(tree.folder / "evil/file", "secret");
  Write(inside + "victim", "file");
  Link("../evil", inside + "dir_link");
  Link("../secret", inside + "victim_link");
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop) {
      for (const char* name : {"dir", "victim"}) {
        std::string real = inside + name;
        std::string link = real + "_link";
        if (renameat2(AT_FDCWD, real.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE) != 0) return;
      }
    }
  });
  std::string failure;
  int opened = 0;
  int refused = 0;
  for (int i = 0; i < 10000 && failure.empty(); ++i) {
    for (Opener opener : kOpeners) {
      for (Links links : {Links::kRefuse, Links::kBeneath}) {
        for (const char* path : {"dir/file", "victim"}) {
          std::string seen = Read(opener, tree.fd.get(), path, links);
          ++(seen == "file" ? opened : refused);
          if (seen == "secret") failure = "a swapped link led out of the folder: ";
        }
      }
    }
  }
  stop = true;
  swapper.join();
  CHECK_THAT(failure.empty());
  CHECK_THAT(opened > 0);
  CHECK_THAT(refused > 0);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<PlainPaths>),
      cmocka_unit_test(Checked<RefusedLinks>),
      cmocka_unit_test(Checked<FollowedLinks>),
      cmocka_unit_test(Checked<SwapsNeverLeadOut>),
  };
  return cmocka_run_group_tests_name("storage/beneath", tests, nullptr, nullptr);
}
