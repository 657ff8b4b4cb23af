// Kills a process with SIGKILL at random moments while it saves over a checkpoint, and looks at
// what it left: the checkpoint of the save before or of the one under way, whole.
// Usage: kill_save [KILLS [SEED [FOLDER]]]
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>

#include <sys/wait.h>
#include <unistd.h>

#include "fault/saves.h"
#include "storage/open.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

constexpr int64_t kRows = 600;       // of the large tensor, 1 KiB each
constexpr int64_t kFilesKept = 100;  // a folder must never fill up with half files

std::shared_ptr<Store> OpenFolder(const std::string& folder) {
  auto store = OpenStore(folder, LocalStoreOptions());
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
    std::exit(2);
  }
  return *std::move(store);
}

SaveOptions OptionsFor(int64_t number) {
  SaveOptions options;
  options.files = number % 3 == 0 ? 3 : 1;
  options.durable = number % 4 != 0;
  return options;
}

// In the child: saves numbers from `number` on until killed. Tells each save that returned.
[[noreturn]] void SaveForEver(const std::string& folder, int64_t number, int told) {
  std::shared_ptr<Store> store = OpenFolder(folder);
  for (;; ++number) {
    auto saved = SaveNumber(*store, number, OptionsFor(number), kRows);
    if (!saved.ok()) {
      std::fprintf(stderr, "child: %s\n", saved.status().ToString().c_str());
      _exit(3);
    }
    if (write(told, &number, sizeof number) != sizeof number) _exit(4);
  }
}

// The last number the child told, or `before`.
int64_t LastTold(int told, int64_t before) {
  int64_t number;
  while (read(told, &number, sizeof number) == sizeof number) before = number;
  return before;
}

int Run(int kills, uint64_t seed, const std::string& folder) {
  std::mt19937_64 random(seed);
  std::printf("kill_save: %d kills, seed %" PRIu64 "\n", kills, seed);
  std::fflush(stdout);
  int64_t number = 1;  // of the last save known to have returned
  if (!SaveNumber(*OpenFolder(folder), number, SaveOptions(), kRows).ok()) return 2;
  int64_t saves = 0;
  int unfinished = 0;  // kills that left something behind
  for (int kill_number = 1; kill_number <= kills; ++kill_number) {
    int pipes[2];
    if (pipe(pipes) != 0) return 2;
    pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) {
      close(pipes[0]);
      SaveForEver(folder, number + 1, pipes[1]);
    }
    close(pipes[1]);
    // From inside the first save to a few saves later.
    usleep(static_cast<useconds_t>(random() % 60000 + random() % 3 * 20000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    int64_t told = LastTold(pipes[0], number);
    close(pipes[0]);
    if (!WIFSIGNALED(status)) {
      std::fprintf(stderr, "kill %d: the child ended by itself\n", kill_number);
      return 1;
    }
    std::shared_ptr<Store> store = OpenFolder(folder);
    auto found = NumberIn(store, kRows);
    if (!found.ok() || !found->has_value()) {
      std::fprintf(stderr, "kill %d (seed %" PRIu64 "): after save %" PRId64 " returned: %s\n",
                   kill_number, seed, told,
                   found.ok() ? "no checkpoint" : found.status().ToString().c_str());
      return 1;
    }
    if (**found != told && **found != told + 1) {
      std::fprintf(stderr,
                   "kill %d (seed %" PRIu64 "): save %" PRId64 " returned, found %" PRId64 "\n",
                   kill_number, seed, told, **found);
      return 1;
    }
    auto files = store->List();
    if (!files.ok() || files->size() > kFilesKept) return 1;
    if (files->size() != 2 && files->size() != 4) ++unfinished;
    saves += **found - number;
    number = **found;
  }
  // The next save clears up.
  std::shared_ptr<Store> store = OpenFolder(folder);
  if (!SaveNumber(*store, number + 1, SaveOptions(), kRows).ok()) return 1;
  auto files = store->List();
  if (!files.ok() || files->size() != 2) {
    std::fprintf(stderr, "%zu files are left after the last save\n",
                 files.ok() ? files->size() : 0);
    return 1;
  }
  std::printf("kill_save: killed %d times during %" PRId64
              " saves; each time the old or the new checkpoint was whole; %d left half files\n",
              kills, saves, unfinished);
  return 0;
}

}  // namespace
}  // namespace dcp

int main(int argc, char** argv) {
  int kills = argc > 1 ? std::atoi(argv[1]) : 4;
  uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device()();
  if (argc > 3) return dcp::Run(kills, seed, argv[3]);
  dcp::TempFolder folder;
  return dcp::Run(kills, seed, folder.path());
}
