// Global plans for tests/exchange/test_global_plan.py: JSON questions on stdin, a line each, and an
// answer a line on stdout.
//
//   {"plans": [...], "lowest": bool}  The plans of all ranks, which go through their wire form.
//   Gives
//       {"error": text} or {"ranks": [[[item, entry, chunk], ...], ...], "entries": ..., "paths":
//       ...}
//   {"validate": entries, "ranks": n}  Gives {"messages": [...]}
#include <cstdio>
#include <iostream>
#include <string>

#include "checkpoint/plan_wire.h"
#include "exchange/plan_json.h"

namespace dcp {
namespace {

Json PathsToJson(const Metadata& metadata) {
  if (!metadata.planner_data) return nullptr;
  Json out = Json::array();
  for (const auto& [name, path] : *metadata.planner_data) {
    Json elements = Json::array();
    for (const PathElement& element : path) {
      std::visit([&](const auto& value) { elements.push_back(value); }, element);
    }
    out.push_back(Json::array({name, std::move(elements)}));
  }
  return out;
}

Json Plan(const Json& question) {
  PlanReceiver receiver;
  for (const SavePlan& plan : PlansFromJson(question.at("plans"))) {
    const Result<std::string> received = receiver.Add(EncodePlan(plan));
    if (!received.ok()) return {{"error", received.status().message()}};
  }
  GlobalPlanOptions options;
  options.dedup_to_lowest_rank = question.at("lowest").get<bool>();
  const Result<MergedPlan> global = receiver.Finish(options);
  if (!global.ok()) return {{"error", global.status().message()}};
  Json ranks = Json::array();
  for (size_t rank = 0; rank < global->items.size(); ++rank) {
    Json items = Json::array();
    for (size_t i = 0; i < global->items[rank].size(); ++i) {
      const GlobalSavePlan::Slot slot = global->slots[rank][i];
      items.push_back(Json::array({global->items[rank][i], slot.entry, slot.chunk}));
    }
    ranks.push_back(std::move(items));
  }
  return {{"ranks", std::move(ranks)},
          {"entries", EntriesToJson(global->metadata)},
          {"paths", PathsToJson(global->metadata)}};
}

Json Answer(const Json& question) {
  if (!question.contains("validate")) return Plan(question);
  const Metadata metadata = EntriesFromJson(question.at("validate"));
  return {{"messages", ValidateEntries(metadata, question.at("ranks").get<int>() > 1)}};
}

}  // namespace
}  // namespace dcp

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << dcp::Answer(dcp::Json::parse(line)).dump() << std::endl;
  }
  return 0;
}
