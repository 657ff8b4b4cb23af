#include "base/buffer_pool.h"

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "support/checks.h"

namespace dcp {
namespace {

constexpr size_t kBuffer = 4 << 20;

size_t PagesPresent(MutableBytes bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> present(bytes.size() / page);
  if (mincore(bytes.data(), bytes.size(), present.data()) != 0) return 0;
  size_t count = 0;
  for (const unsigned char flags : present) count += flags & 1;
  return count;
}

std::string BudgetAndReuse() {
  const auto pool = BufferPool::Create(3 * kBuffer + 5, kBuffer - 1);
  CHECK_THAT(pool->buffer_size() == kBuffer && pool->capacity() == 3);
  std::vector<PooledBuffer> all;
  for (int i = 0; i < 3; ++i) {
    auto taken = pool->TryAcquire(100);
    CHECK_OK(taken);
    CHECK_THAT(taken->bytes().size() == kBuffer);
    CHECK_THAT(reinterpret_cast<uintptr_t>(taken->bytes().data()) % BufferPool::kAlignment == 0);
    std::memset(taken->bytes().data(), i, 100);
    all.push_back(*std::move(taken));
  }
  auto none = pool->TryAcquire(100);
  CHECK_THAT(none.ok() && !*none);
  std::byte* data = all[1].bytes().data();
  all.erase(all.begin() + 1);
  auto again = pool->TryAcquire(100);
  CHECK_THAT(again.ok() && again->bytes().data() == data);
  CHECK_THAT(BufferPool::Create(1, kBuffer)->capacity() == 2);
  return {};
}

// The pages of a buffer are made when much of it is used, then or later, and not before.
std::string PagesAreMadeWhenMuchIsUsed() {
  const size_t pages = kBuffer / static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto pool = BufferPool::Create(2 * kBuffer, kBuffer);
  auto little = pool->TryAcquire(8192);
  CHECK_OK(little);
  CHECK_THAT(PagesPresent(little->bytes()) == 0);
  auto much = pool->TryAcquire(kBuffer);
  CHECK_OK(much);
  // Linux before 5.14 does not make pages when asked.
  void* probe = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool asked = madvise(probe, 4096, MADV_POPULATE_WRITE) == 0;
  munmap(probe, 4096);
  if (!asked) return {};
  CHECK_THAT(PagesPresent(much->bytes()) == pages);
  *little = PooledBuffer();
  little = pool->TryAcquire(kBuffer);
  CHECK_OK(little);
  CHECK_THAT(PagesPresent(little->bytes()) == pages);
  return {};
}

std::string WaitsForOneThatComesBack() {
  const auto pool = BufferPool::Create(2 * kBuffer, kBuffer);
  std::atomic<int> held{0}, most{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        auto buffer = pool->Acquire(CancelToken(), 4096);
        if (!buffer.ok() || !*buffer) failed = true;
        const int now = ++held;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        --held;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_THAT(!failed && most <= 2);
  auto first = pool->TryAcquire(1);
  auto second = pool->TryAcquire(1);
  CHECK_THAT(first.ok() && second.ok() && *first && *second);
  CancelToken cancel;
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    cancel.Cancel();
  });
  const Status waited = pool->Acquire(cancel, 1).status();
  later.join();
  CHECK_CODE(waited, Code::kCancelled);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      DCP_CHECKED(BudgetAndReuse),
      DCP_CHECKED(PagesAreMadeWhenMuchIsUsed),
      DCP_CHECKED(WaitsForOneThatComesBack),
  };
  return cmocka_run_group_tests_name("base/buffer_pool", tests, nullptr, nullptr);
}
