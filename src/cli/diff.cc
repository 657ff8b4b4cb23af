#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <vector>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/compare.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

struct DiffOptions {
  std::string a;
  std::string b;
  bool names_only = false;
};

std::string Describe(const Entry& entry) {
  return entry.is_tensor ? fmt::format("{} {}", Escape(entry.dtype_name), ShapeText(entry.shape))
                         : std::string("object");
}

class Differ {
 public:
  Differ(Session& session, const DiffOptions& options, const Checkpoint& a, const Checkpoint& b)
      : session_(session), options_(options), a_(a), b_(b) {}

  Failure Run() {
    std::vector<Entry> left, right;
    if (Failure failure = a_.ReadEntries(&left)) return failure;
    if (Failure failure = b_.ReadEntries(&right)) return failure;
    std::unordered_map<std::string_view, size_t> in_right;
    for (const Entry& entry : right) in_right[entry.name] = entry.index;
    std::vector<bool> seen(right.size());
    for (const Entry& entry : left) {
      if (entry.is_tensor && in_right.contains(entry.name)) total_ += entry.bytes;
    }
    for (const Entry& entry : left) {
      auto found = in_right.find(entry.name);
      if (found == in_right.end()) {
        Report("only_in_a", entry.name, fmt::format("only in {}", Escape(a_.where())), {});
        continue;
      }
      seen[found->second] = true;
      if (Failure failure = CompareEntries(entry, right[found->second])) return failure;
    }
    for (const Entry& entry : right) {
      if (!seen[entry.index]) {
        Report("only_in_b", entry.name, fmt::format("only in {}", Escape(b_.where())), {});
      }
    }
    compared_ = left.size();
    return Failure();
  }

  int Finish() {
    session_.bar().Clear();
    if (session_.json) {
      Json document = session_.Document();
      document["a"] = a_.where();
      document["b"] = b_.where();
      document["values_compared"] = !options_.names_only;
      document["same"] = same();
      document["differences"] = std::move(differences_);
      document["unverified_bytes"] = unverified_;
      PrintJson(document);
    } else if (same()) {
      fmt::print("{} {} and {}: {}, {}\n", Coloured("same", 32), Escape(a_.where()),
                 Escape(b_.where()), Count(compared_, "name"),
                 options_.names_only ? std::string("values not compared")
                                     : fmt::format("{} of tensors compared", HumanBytes(total_)));
    }
    if (unreadable_ != kFine) return unreadable_;
    return same() ? kFine : kDamagedOrDifferent;
  }

 private:
  bool same() const { return reported_ == 0; }

  void Report(const char* kind, std::string_view name, const std::string& text, Json more) {
    ++reported_;
    session_.bar().Clear();
    if (!session_.json) {
      fmt::print("{} {}\n", Coloured(Escape(name) + ":", 33), text);
      return;
    }
    Json difference;
    SetName(difference, "name", name);
    difference["kind"] = kind;
    if (more.is_object()) difference.update(more);
    differences_.push_back(std::move(difference));
  }

  // A value that cannot be read is told and the rest is compared; only cancelling stops.
  Failure ReportUnreadable(std::string_view name, bool from_b, Failure failure) {
    if (ExitCodeOf(failure) == kInterrupted) return failure;
    const Checkpoint& side = from_b ? b_ : a_;
    Report(
        "unreadable", name,
        fmt::format("cannot be read from {}: {}", Escape(side.where()), Escape(failure.message())),
        {{"side", from_b ? "b" : "a"}, {"error", ErrorJson(failure)}});
    if (unreadable_ != kDamagedOrDifferent) unreadable_ = ExitCodeOf(failure);
    return Failure();
  }

  Failure CompareEntries(const Entry& a, const Entry& b) {
    if (a.is_tensor != b.is_tensor || a.dtype_name != b.dtype_name ||
        !std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end())) {
      Report("type", a.name, fmt::format("{} -> {}", Describe(a), Describe(b)),
             {{"a", EntryJson(a)}, {"b", EntryJson(b)}});
      return Failure();
    }
    if (options_.names_only) return Failure();
    return a.is_tensor ? CompareTensorEntries(a, b) : CompareObjects(a, b);
  }

  Failure CompareTensorEntries(const Entry& a, const Entry& b) {
    if (a.dtype == 0) {
      return ReportUnreadable(
          a.name, false,
          Failure(DCP_UNSUPPORTED, fmt::format("dtype {} is not known", a.dtype_name)));
    }
    TensorDifference difference;
    bool from_b = false;
    auto done = [&](uint64_t bytes) {
      done_ += bytes;
      session_.bar().Update("comparing", done_, total_);
      return !session_.cancelled();
    };
    Failure failure = CompareTensors(a_, a, b_, b, done, &difference, &from_b);
    unverified_ += difference.unverified_bytes;
    if (failure) return ReportUnreadable(a.name, from_b, std::move(failure));
    if (!difference.any()) return Failure();
    if (difference.elements == 0) {
      Report(
          "coverage", a.name,
          fmt::format("shards hold {} elements -> {}", difference.covered_a, difference.covered_b),
          {{"elements_a", difference.covered_a}, {"elements_b", difference.covered_b}});
      return Failure();
    }
    Report("values", a.name,
           fmt::format("{} of {} differ, the first at {}", difference.elements,
                       Count(difference.covered_a, "element"), ShapeText(difference.first)),
           {{"elements", difference.elements},
            {"of", difference.covered_a},
            {"first", difference.first}});
    return Failure();
  }

  Failure CompareObjects(const Entry& a, const Entry& b) {
    ValueHandle left, right;
    Failure failure = Try([&](dcp_error** error) {
      return dcp_checkpoint_object(a_.get(), a.index, Out(left), error);
    });
    if (failure) return ReportUnreadable(a.name, false, std::move(failure));
    failure = Try([&](dcp_error** error) {
      return dcp_checkpoint_object(b_.get(), b.index, Out(right), error);
    });
    if (failure) return ReportUnreadable(a.name, true, std::move(failure));
    if (dcp_value_equal(left.get(), right.get()) != 0) return Failure();
    StringHandle left_text, right_text;
    failure = Try(
        [&](dcp_error** error) { return dcp_value_to_string(left.get(), Out(left_text), error); });
    if (failure) return failure;
    failure = Try([&](dcp_error** error) {
      return dcp_value_to_string(right.get(), Out(right_text), error);
    });
    if (failure) return failure;
    Report("object", a.name, fmt::format("{} -> {}", left_text.get(), right_text.get()),
           {{"a", left_text.get()}, {"b", right_text.get()}});
    return Failure();
  }

  Session& session_;
  const DiffOptions& options_;
  const Checkpoint& a_;
  const Checkpoint& b_;
  Json differences_ = Json::array();
  uint64_t reported_ = 0;
  uint64_t compared_ = 0;
  uint64_t total_ = 0;
  uint64_t done_ = 0;
  uint64_t unverified_ = 0;
  int unreadable_ = kFine;
};

int RunDiff(Session& session, const DiffOptions& options) {
  Checkpoint a, b;
  if (Failure failure = Checkpoint::Open(session, options.a, &a)) return session.Fail(failure);
  if (Failure failure = Checkpoint::Open(session, options.b, &b)) return session.Fail(failure);
  session.bar().set_manual(true);
  Differ differ(session, options, a, b);
  if (Failure failure = differ.Run()) return session.Fail(failure);
  return differ.Finish();
}

}  // namespace

Command AddDiff(CLI::App& app) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command =
      app.add_subcommand("diff", "Compare names, dtypes, shapes and values of two checkpoints");
  command->add_option("a", options->a, "The first checkpoint")->required();
  command->add_option("b", options->b, "The second checkpoint")->required();
  command->add_flag("--names-only", options->names_only, "Do not compare values");
  return {command, [options](Session& session) { return RunDiff(session, *options); }};
}

}  // namespace dcp::cli
