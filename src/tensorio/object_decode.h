// Pickle graph -> value tree.
#ifndef DCP_TENSORIO_OBJECT_DECODE_H_
#define DCP_TENSORIO_OBJECT_DECODE_H_

#include <span>
#include <string>
#include <vector>

#include "pickle/graph.h"
#include "tensorio/known_globals.h"
#include "tensorio/object_item.h"
#include "tensorio/storage_source.h"
#include "value/value.h"

namespace dcp {

// What the size of an input justifies to allocate for it; the limits above are for what it means.
struct DecodeBudget {
  uint64_t values;  // distinct ones
  uint64_t bytes;   // of text, arrays and resolved tensors; views on storages cost nothing

  // `item_size`: bytes in the file; `content_size`: bytes once inflated.
  static DecodeBudget For(uint64_t item_size, uint64_t content_size);
};

class ObjectDecoder {
 public:
  // `graph` and `storages` must outlive this.
  ObjectDecoder(const pickle::Graph& graph, StorageSource* storages, const ObjectLimits& limits,
                const DecodeBudget& budget)
      : graph_(graph),
        storages_(*storages),
        limits_(limits),
        budget_(budget),
        memo_(graph.node_count()) {}

  // Null when the graph holds something that has no value: unknown() then says what. kLimit when
  // the tree grows past the limits, kCorrupt when its tensors or arrays are damaged.
  Result<ValuePtr> Decode(pickle::NodeId node) { return Visit(node); }
  // "module.name" of the first global that is not on the allow-list, or why else not.
  const std::string& unknown() const { return unknown_; }

 private:
  // What a value would weigh if nothing were shared.
  struct Weight {
    uint64_t values = 0;
    uint64_t bytes = 0;
  };
  enum class Progress : uint8_t { kNone, kRunning, kDone };
  struct Memo {
    ValuePtr value;
    Weight weight;
    Progress progress = Progress::kNone;
  };
  // A call of a global, whatever opcode made it.
  struct Call {
    pickle::NodeId node;
    const KnownGlobal* global;
    std::span<const pickle::NodeId> arguments;
    pickle::NodeId arguments_node;
  };
  using Items = std::vector<ValuePtr>;
  using Entries = std::vector<std::pair<ValuePtr, ValuePtr>>;

  Result<ValuePtr> Visit(pickle::NodeId node);
  Result<ValuePtr> Build(pickle::NodeId node);
  Result<ValuePtr> BuildGlobal(pickle::NodeId node);
  Result<ValuePtr> BuildObject(pickle::NodeId node);
  Result<ValuePtr> BuildKnown(const Call& call);
  Result<ValuePtr> BuildPlain(const Call& call);
  Result<ValuePtr> BuildOrderedDict(const Call& call);
  Result<ValuePtr> BuildCollection(const Call& call, ValueKind kind);
  Result<ValuePtr> BuildTensor(pickle::NodeId callee, pickle::NodeId arguments);
  Result<ValuePtr> NoTensor(const Status& status);
  Result<ValuePtr> BuildParameter(const Call& call, size_t expected);
  Result<ValuePtr> BuildTypedTensor(const Call& call);
  Result<ValuePtr> BuildStorage(pickle::NodeId node);
  Result<ValuePtr> BuildNumpy(const Call& call);
  ValuePtr SimpleCall(const Call& call) const;  // null when the arguments are of another kind

  // False: something among the children is unknown.
  Result<bool> VisitItems(std::span<const pickle::NodeId> nodes, Items* out);
  Result<bool> VisitPairs(std::span<const pickle::NodeId> pairs, Entries* out);
  Result<ValuePtr> Sequence(ValueKind kind, std::span<const pickle::NodeId> nodes);

  ValuePtr Unknown(std::string what);  // null
  ValuePtr Unknown(const Call& call) { return Unknown(call.global->FullName()); }
  Status Add(const Weight& weight);  // to the value being built
  Status Spend(uint64_t values, uint64_t bytes);
  ValuePtr SmallInt(int64_t value);

  const pickle::Graph& graph_;
  StorageSource& storages_;
  const ObjectLimits limits_;
  DecodeBudget budget_;  // what is left
  std::vector<Memo> memo_;
  Weight weight_;  // of the value being built
  int depth_ = 0;
  std::string unknown_;
  std::vector<ValuePtr> small_ints_;  // shared: such values are most of many trees
  ValuePtr none_, true_, false_;
};

}  // namespace dcp

#endif  // DCP_TENSORIO_OBJECT_DECODE_H_
