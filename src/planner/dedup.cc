#include "planner/dedup.h"

#include <algorithm>

#include "base/bytes.h"
#include "metadata/id_table.h"
#include "planner/set_order.h"

namespace dcp {
namespace {

constexpr uint32_t kNone = GatheredName::kNone;
__extension__ using Wide = unsigned __int128;  // bytes of all tensors of all ranks

// Every item begins after the one before: no two are the same, the way of most shardings.
bool Ascend(const GatheredName& name) {
  const size_t n = name.ndim(), step = 2 * n;
  const int64_t* at = name.boxes.data();
  for (size_t i = 1; i < name.ranks.size(); ++i, at += step) {
    size_t d = 0;
    while (d < n && at[d] == at[step + d]) ++d;
    if (d == n || at[d] > at[step + d]) return false;
  }
  return true;
}

void Chain(GatheredName* name, IdTable* table) {
  const auto count = static_cast<uint32_t>(name->ranks.size());
  name->first.resize(count);
  name->next.assign(count, kNone);
  std::vector<uint32_t> last(count);  // by first
  bool repeats = false;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t first = 0;
    if (name->ndim() > 0) {
      const Dims offsets = name->offsets(i);
      first = table->FindOrAdd(SeededHash(AsText(std::as_bytes(offsets))), i, [&](uint32_t other) {
        return std::equal(offsets.begin(), offsets.end(), name->offsets(other).begin());
      });
    }
    name->first[i] = first;
    if (first != i) {
      name->next[last[first]] = i;
      repeats = true;
    }
    last[first] = i;
  }
  if (repeats) return;
  name->first = {};
  name->next = {};
}

Wide CostOf(const GatheredName& name, uint32_t item, std::span<const DType> dtypes) {
  if (name.kind == WriteKind::kBytes) return 1;
  Wide bytes = static_cast<Wide>(DTypeSize(dtypes[name.properties_at(item)]));
  for (int64_t size : name.size) bytes *= static_cast<Wide>(size);
  return std::max<Wide>(bytes, 1);
}

}  // namespace

void FindRepeats(GatheredName* name) {
  if (name->ranks.size() < 2) return;
  const bool alike = name->kind == WriteKind::kBytes || name->ndim() == 0;
  if (!alike && Ascend(*name)) return;
  IdTable table;
  Chain(name, &table);
}

void Deal(const std::vector<std::vector<NamedItem>>& plans, std::span<const DType> dtypes,
          bool to_lowest_rank, std::vector<GatheredName>* names) {
  std::vector<Wide> costs;  // of a key of the name, where all its items have one dtype
  costs.reserve(names->size());
  for (const GatheredName& name : *names) {
    costs.push_back(name.ranks.empty() ? 0 : CostOf(name, 0, dtypes));
  }
  std::vector<Wide> load(plans.size(), 0);
  std::vector<uint32_t> holders;
  SetOrder order;
  for (uint32_t rank = 0; rank < plans.size(); ++rank) {
    for (const NamedItem at : plans[rank]) {
      GatheredName& name = (*names)[at.name];
      uint32_t last = at.item;
      uint32_t writer = rank;
      if (name.repeats()) {
        if (name.first[at.item] != at.item) continue;
        holders.clear();
        for (uint32_t item = at.item; item != kNone; item = name.next[item]) {
          if (holders.empty() || holders.back() != name.ranks[item]) {
            holders.push_back(name.ranks[item]);
          }
          last = item;
        }
        if (!to_lowest_rank && holders.size() > 1) {
          const std::span<const uint32_t> walked = order.Of(holders);
          writer = walked[0];
          for (uint32_t holder : walked) {
            if (load[holder] < load[writer]) writer = holder;
          }
        }
        if (name.keep.empty()) name.keep.resize(name.ranks.size());
        for (uint32_t item = at.item; item != kNone; item = name.next[item]) {
          name.keep[item] = name.ranks[item] == writer;
        }
      }
      load[writer] += name.properties_of.empty() ? costs[at.name] : CostOf(name, last, dtypes);
    }
  }
}

}  // namespace dcp
