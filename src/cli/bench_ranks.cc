#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "cli/commands.h"
#include "cli/rank_run.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

struct BenchOptions {
  std::string folder;
  int ranks = 4;
  int load_ranks = 0;  // 0: as many
  int tensors = 64;
  int replicated = 8;
  int64_t mib = 256;
  int load_dimension = 0;
  int files = 1;
  bool no_collectives = false;
};

constexpr int64_t kColumns = 1024;

// Tensors of about the size asked for, all of one shape; at least a row for each rank.
RankLoad LoadOf(const BenchOptions& options) {
  RankLoad load;
  load.replicated = std::min(options.replicated, options.tensors);
  load.sharded = options.tensors - load.replicated;
  load.columns = kColumns;
  const int64_t row = kColumns * static_cast<int64_t>(sizeof(float));
  load.rows = std::max<int64_t>(
      {(options.mib << 20) / row / options.tensors, options.ranks, options.load_ranks});
  return load;
}

// Runs `body` on a thread a rank, each with its communicator of a fresh group.
template <typename Body>
Failure OnRanks(int ranks, std::vector<RankOutcome>* outcomes, const Body& body) {
  std::vector<dcp_communicator*> raw(static_cast<size_t>(ranks), nullptr);
  if (Failure failure = Try(
          [&](dcp_error** error) { return dcp_communicator_local(ranks, raw.data(), error); })) {
    return failure;
  }
  std::vector<CommunicatorHandle> group(raw.begin(), raw.end());
  outcomes->resize(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto at = static_cast<size_t>(rank);
      (*outcomes)[at] = body(rank, group[at].get());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (RankOutcome& outcome : *outcomes) {
    if (outcome.failure) return std::move(outcome.failure);
  }
  return Failure();
}

double Waited(const RankOutcome& outcome) {
  double busy = 0;
  for (double phase : outcome.phases) busy += phase;
  return std::max(0.0, outcome.total - busy);
}

// The most that a rank has, in parts of the mean.
double Balance(const std::vector<RankOutcome>& outcomes) {
  uint64_t most = 0, all = 0;
  for (const RankOutcome& outcome : outcomes) {
    most = std::max(most, outcome.bytes);
    all += outcome.bytes;
  }
  if (all == 0) return 1;
  return static_cast<double>(most) * static_cast<double>(outcomes.size()) /
         static_cast<double>(all);
}

double Slowest(const std::vector<RankOutcome>& outcomes) {
  double slowest = 0;
  for (const RankOutcome& outcome : outcomes) slowest = std::max(slowest, outcome.total);
  return slowest;
}

Json OutcomesJson(const std::vector<RankOutcome>& outcomes, int busy_phase) {
  Json ranks = Json::array();
  for (size_t rank = 0; rank < outcomes.size(); ++rank) {
    const RankOutcome& outcome = outcomes[rank];
    Json json;
    json["rank"] = rank;
    json["items"] = outcome.items;
    json["bytes"] = outcome.bytes;
    json["files"] = outcome.files;
    json["plan_seconds"] = outcome.phases[DCP_PHASE_PLAN];
    json[busy_phase == DCP_PHASE_WRITE ? "write_seconds" : "read_seconds"] =
        outcome.phases[static_cast<size_t>(busy_phase)];
    if (busy_phase == DCP_PHASE_WRITE) json["commit_seconds"] = outcome.phases[DCP_PHASE_COMMIT];
    json["waiting_seconds"] = Waited(outcome);
    json["seconds"] = outcome.total;
    ranks.push_back(std::move(json));
  }
  Json all;
  all["seconds"] = Slowest(outcomes);
  all["balance"] = Balance(outcomes);
  all["ranks"] = std::move(ranks);
  return all;
}

void PrintOutcomes(std::string_view what, const std::vector<RankOutcome>& outcomes,
                   int busy_phase) {
  uint64_t bytes = 0;
  for (const RankOutcome& outcome : outcomes) bytes += outcome.bytes;
  const double seconds = Slowest(outcomes);
  const bool saves = busy_phase == DCP_PHASE_WRITE;
  fmt::print(
      "{} by {}: {} in {:.3f} s, {}/s; the fullest rank has {:.2f} of the mean\n", what,
      Count(outcomes.size(), "rank"), HumanBytes(bytes), seconds,
      HumanBytes(static_cast<uint64_t>(static_cast<double>(bytes) / std::max(seconds, 1e-9))),
      Balance(outcomes));
  fmt::print("  {:>4}  {:>6}  {:>10}  {:>8}  {:>8}  {:>8}  {:>9}  {:>8}\n", "rank", "items",
             "bytes", "plan s", saves ? "write s" : "read s", saves ? "commit s" : "", "waiting s",
             "total s");
  for (size_t rank = 0; rank < outcomes.size(); ++rank) {
    const RankOutcome& outcome = outcomes[rank];
    fmt::print("  {:>4}  {:>6}  {:>10}  {:>8.3f}  {:>8.3f}  {:>8}  {:>9.3f}  {:>8.3f}\n", rank,
               outcome.items, HumanBytes(outcome.bytes), outcome.phases[DCP_PHASE_PLAN],
               outcome.phases[static_cast<size_t>(busy_phase)],
               saves ? fmt::format("{:.3f}", outcome.phases[DCP_PHASE_COMMIT]) : "",
               Waited(outcome), outcome.total);
  }
}

int RunBench(Session& session, BenchOptions options) {
  if (options.load_ranks == 0) options.load_ranks = options.ranks;
  std::error_code error;
  std::filesystem::directory_iterator files(options.folder, error);
  if (!error && files != std::filesystem::directory_iterator()) {
    return session.FailUsage(fmt::format("{} is not empty: give a folder that is, or a new one",
                                         Escape(options.folder)));
  }
  StorageHandle storage;
  if (Failure failure = Try([&](dcp_error** e) {
        return dcp_storage_open(options.folder.c_str(), nullptr, Out(storage), e);
      })) {
    return session.Fail(failure);
  }
  const RankLoad load = LoadOf(options);
  dcp_save_options save;
  dcp_save_options_init(&save, sizeof save);
  save.files = options.files;
  save.use_collectives = options.no_collectives ? 0 : 1;
  save.cancel = session.cancel();

  std::vector<std::unique_ptr<RankState>> states;
  for (int rank = 0; rank < options.ranks; ++rank) {
    states.push_back(std::make_unique<RankState>(load, rank, options.ranks, 0, true));
  }
  std::vector<RankOutcome> saved, loaded;
  if (Failure failure = OnRanks(options.ranks, &saved, [&](int rank, dcp_communicator* comm) {
        return SaveRank(*states[static_cast<size_t>(rank)], comm, storage.get(), save);
      })) {
    return session.Fail(failure);
  }
  states.clear();
  for (int rank = 0; rank < options.load_ranks; ++rank) {
    states.push_back(
        std::make_unique<RankState>(load, rank, options.load_ranks, options.load_dimension, false));
  }
  if (Failure failure = OnRanks(options.load_ranks, &loaded, [&](int rank, dcp_communicator* comm) {
        return LoadRank(*states[static_cast<size_t>(rank)], comm, storage.get(), session.cancel());
      })) {
    return session.Fail(failure);
  }
  const bool correct =
      std::all_of(states.begin(), states.end(), [](const auto& state) { return state->Correct(); });
  if (session.json) {
    Json document = session.Document();
    document["path"] = options.folder;
    document["save"] = OutcomesJson(saved, DCP_PHASE_WRITE);
    document["load"] = OutcomesJson(loaded, DCP_PHASE_READ);
    document["equal"] = correct;
    PrintJson(document);
  } else {
    PrintOutcomes("saved", saved, DCP_PHASE_WRITE);
    PrintOutcomes("loaded", loaded, DCP_PHASE_READ);
    fmt::print("{}\n", correct ? Coloured("what was loaded is what was saved", 32)
                               : Coloured("what was loaded is NOT what was saved", 31));
  }
  return correct ? kFine : kDamagedOrDifferent;
}

}  // namespace

Command AddBenchRanks(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand(
      "bench-ranks", "Save and load with ranks of this process: who wrote what, and how long");
  command->add_option("path", options->folder, "A new or empty folder; the checkpoint stays there")
      ->required();
  command->add_option("--ranks", options->ranks, "How many save")->check(CLI::Range(1, 256));
  command->add_option("--load-ranks", options->load_ranks, "How many load; as many when not given")
      ->check(CLI::Range(1, 256));
  command->add_option("--tensors", options->tensors, "How many there are")
      ->check(CLI::Range(1, 1000000));
  command->add_option("--replicated", options->replicated, "How many of them all ranks hold")
      ->check(CLI::Range(0, 1000000));
  command->add_option("--mib", options->mib, "Size of all tensors together")
      ->check(CLI::Range(1, 1048576));
  command
      ->add_option("--load-dim", options->load_dimension,
                   "The dimension along which loading ranks cut; saving ones cut along 0")
      ->check(CLI::Range(0, 1));
  command->add_option("--files", options->files, "Data files a rank")->check(CLI::Range(1, 4096));
  command->add_flag("--no-collectives", options->no_collectives,
                    "Each rank commits what it has, without a word about plans");
  return {command, [options](Session& session) { return RunBench(session, *options); }};
}

}  // namespace dcp::cli
