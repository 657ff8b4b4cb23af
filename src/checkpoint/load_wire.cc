#include "checkpoint/load_wire.h"

#include "comm/wire_codec.h"

namespace dcp {

std::string EncodeLoadPlan(const LoadPlan& plan) {
  WireWriter out;
  out.Text(plan.storage_data);
  out.Number(plan.dims.size());
  for (int64_t dim : plan.dims) out.Signed(dim);
  out.Number(plan.items.size());
  for (const ReadItem& item : plan.items) {
    out.Number(static_cast<uint64_t>(item.kind) + 4 * uint64_t{item.ndim});
    out.Number(item.entry);
    out.Number(item.chunk);
    out.Number(item.target);
    out.Number(item.dims);
  }
  return out.Take();
}

Result<LoadPlan> DecodeLoadPlan(std::string_view bytes) {
  WireReader in(bytes);
  LoadPlan plan;
  plan.storage_data = in.Text();
  size_t dims = in.Count();
  for (; dims > 0 && in.ok(); --dims) plan.dims.push_back(in.Signed());
  size_t items = in.Count(5);
  for (; items > 0 && in.ok(); --items) {
    ReadItem item;
    const uint64_t header = in.Number(4 * uint64_t{kMaxDims} + 3);
    item.kind = static_cast<EntryKind>(header % 4);
    item.ndim = static_cast<uint8_t>(header / 4);
    if (item.kind != EntryKind::kTensor && item.kind != EntryKind::kBytes) in.Fail();
    item.entry = static_cast<uint32_t>(in.Number(UINT32_MAX));
    item.chunk = static_cast<uint32_t>(in.Number(UINT32_MAX));
    item.target = static_cast<uint32_t>(in.Number(UINT32_MAX));
    item.dims = static_cast<uint32_t>(in.Number(UINT32_MAX));
    if (uint64_t{item.dims} + 3 * uint64_t{item.ndim} > plan.dims.size()) in.Fail();
    plan.items.push_back(item);
  }
  if (in.complete()) return plan;
  return Status(Code::kCorrupt,
                "another rank sent a load plan that cannot be read: do all ranks run the same "
                "version of libdcp, and is the communicator theirs alone?");
}

}  // namespace dcp
