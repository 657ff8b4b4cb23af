#include "planner/dedup.h"

#include <algorithm>

#include "base/bytes.h"
#include "metadata/id_table.h"
#include "planner/set_order.h"

namespace dcp {
namespace {

__extension__ using Wide = unsigned __int128;  // bytes of all tensors of all ranks

struct Key {
  uint32_t name;
  uint32_t rank;  // of the first item with this key
  uint32_t item;
  uint32_t holders = 0;
  Wide cost = 1;
};

struct Holder {
  uint32_t key;
  uint32_t rank;
};

Wide CostOf(const SavePlan& plan, const WriteItem& item) {
  if (item.kind == WriteKind::kBytes) return 1;
  Wide bytes = static_cast<Wide>(DTypeSize(plan.properties[item.properties].dtype));
  for (int64_t size : plan.global_size(item)) bytes *= static_cast<Wide>(size);
  return std::max<Wide>(bytes, 1);
}

std::string_view OffsetBytes(const SavePlan& plan, const WriteItem& item) {
  return AsText(std::as_bytes(plan.box(item).offsets));
}

}  // namespace

GlobalNames NumberNames(const std::vector<SavePlan>& plans) {
  GlobalNames out;
  out.ids.resize(plans.size());
  IdTable table;
  if (!plans.empty()) {
    out.names.reserve(plans[0].names.size());
    table.Reserve(plans[0].names.size());
  }
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    const SavePlan& plan = plans[rank];
    std::vector<uint32_t>& ids = out.ids[rank];
    ids.assign(plan.names.size(), IdTable::kNone);
    for (const WriteItem& item : plan.items) {
      uint32_t& id = ids[item.name];
      if (id != IdTable::kNone) continue;
      std::string_view name = plan.names[item.name];
      uint32_t fresh = static_cast<uint32_t>(out.names.size());
      // Ranks tend to list the same names in the same order.
      if (item.name < out.names.size() && out.names[item.name] == name) {
        id = item.name;
        continue;
      }
      id = table.FindOrAdd(SeededHash(name), fresh,
                           [&](uint32_t other) { return out.names[other] == name; });
      if (id == fresh) out.names.push_back(name);
    }
  }
  return out;
}

std::vector<std::vector<uint8_t>> Dedup(const std::vector<SavePlan>& plans,
                                        const GlobalNames& names, bool to_lowest_rank) {
  size_t item_count = 0;
  for (const SavePlan& plan : plans) item_count += plan.items.size();

  std::vector<Key> keys;
  std::vector<Holder> key_of;  // of each item, plan after plan
  key_of.reserve(item_count);
  IdTable table;
  for (uint32_t rank = 0; rank < plans.size(); ++rank) {
    const SavePlan& plan = plans[rank];
    for (uint32_t i = 0; i < plan.items.size(); ++i) {
      const WriteItem& item = plan.items[i];
      bool bytes = item.kind == WriteKind::kBytes;
      uint32_t name = names.ids[rank][item.name];
      std::string_view offset = bytes ? std::string_view() : OffsetBytes(plan, item);
      uint32_t fresh = static_cast<uint32_t>(keys.size());
      uint32_t id = table.FindOrAdd(SeededHash(offset, uint64_t{name} * 2 + bytes), fresh,
                                    [&](uint32_t other) {
                                      const Key& key = keys[other];
                                      if (key.name != name) return false;
                                      const WriteItem& that = plans[key.rank].items[key.item];
                                      if ((that.kind == WriteKind::kBytes) != bytes) return false;
                                      return bytes || OffsetBytes(plans[key.rank], that) == offset;
                                    });
      if (id == fresh) keys.push_back({name, rank, i});
      keys[id].holders++;
      keys[id].cost = CostOf(plan, item);  // of the last item seen, as upstream
      key_of.push_back({id, rank});
    }
  }

  // Ranks of each key, ascending: a counting sort.
  std::vector<uint32_t> start(keys.size() + 1, 0);
  for (size_t k = 0; k < keys.size(); ++k) start[k + 1] = start[k] + keys[k].holders;
  std::vector<uint32_t> ranks(item_count);
  {
    std::vector<uint32_t> fill(start.begin(), start.end() - 1);
    for (const Holder& holder : key_of) ranks[fill[holder.key]++] = holder.rank;
  }

  std::vector<Wide> load(plans.size(), 0);
  std::vector<uint32_t> writer(keys.size());
  SetOrder order;
  for (size_t k = 0; k < keys.size(); ++k) {
    auto first = ranks.begin() + start[k];
    auto last = std::unique(first, ranks.begin() + start[k + 1]);
    uint32_t best = *first;
    if (!to_lowest_rank && last - first > 1) {
      std::span<const uint32_t> holders = order.Of({first, last});
      best = holders[0];
      for (uint32_t rank : holders) {
        if (load[rank] < load[best]) best = rank;
      }
    }
    load[best] += keys[k].cost;
    writer[k] = best;
  }

  std::vector<std::vector<uint8_t>> keep(plans.size());
  size_t at = 0;
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    keep[rank].resize(plans[rank].items.size());
    for (uint8_t& flag : keep[rank]) flag = writer[key_of[at++].key] == rank;
  }
  return keep;
}

}  // namespace dcp
