// Save plans as JSON lines: the form that tests/exchange/plans.py describes.
#ifndef DCP_TESTS_EXCHANGE_PLAN_JSON_H_
#define DCP_TESTS_EXCHANGE_PLAN_JSON_H_

#include <nlohmann/json.hpp>
#include <vector>

#include "planner/save_planner.h"

namespace dcp {

using Json = nlohmann::ordered_json;

// Throws nlohmann's exceptions for what is not of that form, std::runtime_error for a dtype that
// does not exist.
SavePlan PlanFromJson(const Json& json);
std::vector<SavePlan> PlansFromJson(const Json& json);  // of a list

// Entries as plans.py's entries_to_json gives them.
Json EntriesToJson(const Metadata& metadata);
// The inverse, without locations: for ValidateEntries.
Metadata EntriesFromJson(const Json& json);

}  // namespace dcp

#endif  // DCP_TESTS_EXCHANGE_PLAN_JSON_H_
