#include "exchange/plan_json.h"

#include <stdexcept>

namespace dcp {
namespace {

DType DTypeFromJson(const Json& json) {
  const std::optional<DType> dtype = DTypeFromName(json.get<std::string>());
  if (!dtype) throw std::runtime_error("no dtype: " + json.dump());
  return *dtype;
}

std::vector<int64_t> Numbers(const Json& json) { return json.get<std::vector<int64_t>>(); }

uint32_t Append(const Json& json, std::vector<int64_t>* to) {
  const auto at = static_cast<uint32_t>(to->size());
  const std::vector<int64_t> numbers = Numbers(json);
  to->insert(to->end(), numbers.begin(), numbers.end());
  return at;
}

Json Listed(Dims dims) { return std::vector<int64_t>(dims.begin(), dims.end()); }

Path PathFromJson(const Json& json) {
  Path path;
  for (const Json& element : json) {
    if (element.is_string()) {
      path.emplace_back(element.get<std::string>());
    } else {
      path.emplace_back(element.get<int64_t>());
    }
  }
  return path;
}

}  // namespace

SavePlan PlanFromJson(const Json& json) {
  SavePlan plan;
  for (const Json& from : json.at("items")) {
    WriteItem item;
    item.source = static_cast<uint32_t>(plan.items.size());
    item.name = static_cast<uint32_t>(plan.names.size());
    plan.names.push_back(from.at("name").get<std::string>());
    const auto kind = from.at("kind").get<std::string>();
    if (kind != "bytes") {
      item.kind = kind == "tensor" ? WriteKind::kTensor : WriteKind::kShard;
      item.ndim = static_cast<uint8_t>(from.at("size").size());
      TensorProperties properties;
      properties.dtype = DTypeFromJson(from.at("dtype"));
      properties.requires_grad = from.at("requires_grad").get<bool>();
      item.properties = static_cast<uint32_t>(plan.properties.size());
      plan.properties.push_back(std::move(properties));
      item.global = Append(from.at("size"), &plan.dims);
      item.box = Append(from.at("offsets"), &plan.dims);
      Append(from.at("sizes"), &plan.dims);
    }
    plan.items.push_back(item);
  }
  const Json& paths = json.at("paths");
  plan.flattened = !paths.is_null();
  if (plan.flattened) {
    for (const Json& path : paths) {
      plan.planner_data.emplace_back(path.at(0).get<std::string>(), PathFromJson(path.at(1)));
    }
  }
  return plan;
}

std::vector<SavePlan> PlansFromJson(const Json& json) {
  std::vector<SavePlan> plans;
  for (const Json& plan : json) plans.push_back(PlanFromJson(plan));
  return plans;
}

Json EntriesToJson(const Metadata& metadata) {
  Json out = Json::array();
  for (const Entry& entry : metadata.entries) {
    Json what;
    if (entry.kind == EntryKind::kTensor) {
      what["dtype"] = DTypeName(entry.properties.dtype);
      what["requires_grad"] = entry.properties.requires_grad;
      what["size"] = Listed(entry.size);
      what["chunks"] = Json::array();
      for (size_t i = 0; i < entry.chunk_count(); ++i) {
        const Box box = entry.chunk(i);
        what["chunks"].push_back(Json::array({Listed(box.offsets), Listed(box.sizes)}));
      }
    }
    out.push_back(Json::array({entry.name, std::move(what)}));
  }
  return out;
}

Metadata EntriesFromJson(const Json& json) {
  Metadata metadata;
  for (const Json& from : json) {
    Entry& entry = metadata.entries.emplace_back();
    entry.name = from.at(0).get<std::string>();
    const Json& what = from.at(1);
    if (what.is_null()) continue;
    entry.kind = EntryKind::kTensor;
    entry.properties.dtype = DTypeFromJson(what.at("dtype"));
    const std::vector<int64_t> size = Numbers(what.at("size"));
    entry.size.assign(size.begin(), size.end());
    for (const Json& chunk : what.at("chunks")) {
      Append(chunk.at(0), &entry.boxes);
      Append(chunk.at(1), &entry.boxes);
      entry.locations.emplace_back();
    }
  }
  return metadata;
}

}  // namespace dcp
