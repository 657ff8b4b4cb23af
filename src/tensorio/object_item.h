// Any Python object as an item: torch.save blobs <-> value trees.
#ifndef DCP_TENSORIO_OBJECT_ITEM_H_
#define DCP_TENSORIO_OBJECT_ITEM_H_

#include <string>
#include <string_view>

#include "base/byte_sink.h"
#include "base/byte_source.h"
#include "value/value.h"

namespace dcp {

// What values of objects carry beyond their kind:
// - kTensor: `name` is kParameterName for parameters, the storage's class ("torch.FloatStorage",
//   "torch.storage.UntypedStorage") for a storage saved for itself, else empty; `constructed`,
//   where present, has the Python attributes as its state (and no arguments).
// - kOrderedDict: `constructed`, where present, has the dict's attributes (`_metadata` of a
// module's
//   state dict) as its state.
// - kConstructed: `items` and `entries` are what is appended and set after the call; without
//   `arguments` it is the global itself, not a call of it. `global` is Python 3.12's and numpy 2's
//   name whatever the writer's.
inline constexpr std::string_view kParameterName = "torch.nn.parameter.Parameter";
inline constexpr std::string_view kTypedTensorName = "torch._tensor._rebuild_from_type_v2";

struct ObjectLimits {
  uint64_t max_size = 1ull << 34;    // bytes of the item and of all it expands to
  uint64_t max_values = 1ull << 24;  // nodes of the value tree, counted as if shared ones were not
};

// Decodes a torch.save zip (or, as old writers did, a bare pickle). What the allow-list covers
// (torch's weights_only rules, numpy's and the standard library's plain constructors) becomes
// values; any other global makes the whole item Opaque, keeping its bytes and naming the global.
// Checks every CRC; *checked (may be null) is false when the writer left some out.
Result<ValuePtr> DecodeObjectItem(const ByteSource& item, const ObjectLimits& limits,
                                  bool* checked = nullptr);

// A whole torch.save zip: protocol 2 as stock writes it, tensors inside as records data/N with
// shared bytes stored once. Opaque values give back their bytes untouched. kUnsupported for values
// that have no pickle (a ShardedTensor inside an object).
Result<std::string> EncodeObjectItem(const Value& value);
// The same in pieces; the bytes of tensors are not copied on the way.
Status EncodeObjectItem(const Value& value, const ByteSink& sink);

}  // namespace dcp

#endif  // DCP_TENSORIO_OBJECT_ITEM_H_
