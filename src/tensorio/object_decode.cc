#include "tensorio/object_decode.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/bytes.h"
#include "tensorio/numpy_objects.h"
#include "value/names.h"

namespace dcp {
namespace {

using pickle::NodeId;
using pickle::NodeKind;

// Python's own pickler gives up at about this depth.
constexpr int kMaxDepth = 1000;
constexpr int64_t kSmallInts = 257;

std::shared_ptr<Value> Make(ValueKind kind) {
  auto value = std::make_shared<Value>();
  value->kind = kind;
  return value;
}

ValuePtr Text(ValueKind kind, std::string text) {
  auto value = Make(kind);
  value->text = std::move(text);
  return value;
}

uint64_t SaturatingAdd(uint64_t a, uint64_t b) { return a + b < a ? ~uint64_t{0} : a + b; }

bool Hashable(const Value& value) {
  switch (value.kind) {
    case ValueKind::kList:
    case ValueKind::kDict:
    case ValueKind::kOrderedDict:
    case ValueKind::kSet:
    case ValueKind::kByteArray:
    case ValueKind::kNumpyArray:
      return false;
    default:
      return true;
  }
}

bool IsMemoryFormat(std::string_view name) {
  return name == "contiguous_format" || name == "channels_last" || name == "channels_last_3d" ||
         name == "preserve_format";
}

// Bytes that the value alone stands for, its share of storages included.
uint64_t OwnBytes(const Value& value) {
  uint64_t bytes = value.text.size();
  if (value.kind == ValueKind::kTensor || value.kind == ValueKind::kNumpyArray) {
    bytes += static_cast<uint64_t>(value.tensor.num_bytes());
  }
  return bytes;
}

// Bytes copied out of the graph, which might be copied out of one place many times.
uint64_t CopiedBytes(const Value& value) {
  uint64_t bytes = value.text.size() + value.size.size() * sizeof(int64_t);
  if (value.kind == ValueKind::kNumpyArray) {
    bytes += static_cast<uint64_t>(value.tensor.num_bytes());
  }
  const bool from_call = value.kind == ValueKind::kSet || value.kind == ValueKind::kFrozenSet ||
                         value.kind == ValueKind::kOrderedDict;
  if (from_call) bytes += value.items.size() + value.entries.size();
  return bytes;
}

}  // namespace

ValuePtr ObjectDecoder::Unknown(std::string what) {
  if (unknown_.empty()) unknown_ = std::move(what);
  return nullptr;
}

DecodeBudget DecodeBudget::For(uint64_t item_size, uint64_t content_size) {
  constexpr uint64_t kValues = 1 << 16;
  constexpr uint64_t kBytes = 1 << 20;
  const uint64_t most = uint64_t{1} << 48;  // keeps the products in range
  return {16 * std::min(item_size, most) + kValues, 4 * std::min(content_size, most) + kBytes};
}

Status ObjectDecoder::Spend(uint64_t values, uint64_t bytes) {
  if (values > budget_.values || bytes > budget_.bytes) {
    return Error(Code::kLimit, "the object grows out of proportion to the bytes it is stored in");
  }
  budget_.values -= values;
  budget_.bytes -= bytes;
  return Status::Ok();
}

Status ObjectDecoder::Add(const Weight& weight) {
  weight_.values = SaturatingAdd(weight_.values, weight.values);
  weight_.bytes = SaturatingAdd(weight_.bytes, weight.bytes);
  if (weight_.values > limits_.max_values) {
    return Error(Code::kLimit, "the object has more than {} values", limits_.max_values);
  }
  if (weight_.bytes > limits_.max_size) {
    return Error(Code::kLimit, "the object has more than {} bytes", limits_.max_size);
  }
  return Status::Ok();
}

Result<ValuePtr> ObjectDecoder::Visit(NodeId node) {
  if (node >= memo_.size()) {  // an integer that is its own id
    DCP_RETURN_IF_ERROR(Spend(1, 0));
    DCP_RETURN_IF_ERROR(Add({1, 0}));
    return Build(node);
  }
  if (memo_[node].progress == Progress::kDone) {
    DCP_RETURN_IF_ERROR(Add(memo_[node].weight));
    return memo_[node].value;
  }
  if (memo_[node].progress == Progress::kRunning) return Unknown("(an object that holds itself)");
  if (depth_ == kMaxDepth) return Unknown(fmt::format("(nested more than {} deep)", kMaxDepth));
  memo_[node].progress = Progress::kRunning;
  ++depth_;
  const Weight outer = std::exchange(weight_, Weight{1, 0});
  Result<ValuePtr> built = Build(node);
  --depth_;
  if (!built.ok()) return built;
  if (*built == nullptr) {
    weight_ = outer;
    return built;
  }
  DCP_RETURN_IF_ERROR(Spend(1, CopiedBytes(**built)));
  DCP_RETURN_IF_ERROR(Add({0, OwnBytes(**built)}));
  memo_[node] = {*built, weight_, Progress::kDone};
  weight_ = outer;
  DCP_RETURN_IF_ERROR(Add(memo_[node].weight));
  return built;
}

ValuePtr ObjectDecoder::SmallInt(int64_t value) {
  if (value < 0 || value >= kSmallInts) return Value::Int(value);
  small_ints_.resize(kSmallInts);
  ValuePtr& known = small_ints_[static_cast<size_t>(value)];
  if (known == nullptr) known = Value::Int(value);
  return known;
}

Result<ValuePtr> ObjectDecoder::Build(NodeId node) {
  switch (graph_.kind(node)) {
    case NodeKind::kNone:
      if (none_ == nullptr) none_ = Value::None();
      return none_;
    case NodeKind::kBool: {
      ValuePtr& known = graph_.AsBool(node) ? true_ : false_;
      if (known == nullptr) known = Value::Bool(graph_.AsBool(node));
      return known;
    }
    case NodeKind::kInt:
      return SmallInt(graph_.AsInt(node));
    case NodeKind::kBigInt:
      return Value::BigInt(std::string(graph_.Text(node)));
    case NodeKind::kFloat:
      return Value::Float(graph_.AsFloat(node));
    case NodeKind::kString:
      return Value::String(std::string(graph_.Text(node)));
    case NodeKind::kBytes:
      return Value::BytesOf(std::string(graph_.Text(node)));
    case NodeKind::kByteArray:
      return Text(ValueKind::kByteArray, std::string(graph_.Text(node)));
    case NodeKind::kTuple:
      return Sequence(ValueKind::kTuple, graph_.Items(node));
    case NodeKind::kList:
      return Sequence(ValueKind::kList, graph_.Items(node));
    case NodeKind::kSet:
      return Sequence(ValueKind::kSet, graph_.Items(node));
    case NodeKind::kFrozenSet:
      return Sequence(ValueKind::kFrozenSet, graph_.Items(node));
    case NodeKind::kDict: {
      Entries entries;
      DCP_ASSIGN_OR_RETURN(bool known, VisitPairs(graph_.Pairs(node), &entries));
      if (!known) return ValuePtr();
      return Value::Dict(std::move(entries));
    }
    case NodeKind::kGlobal:
      return BuildGlobal(node);
    case NodeKind::kReduce:
    case NodeKind::kNewObject:
      return BuildObject(node);
    case NodeKind::kPersistentId:
      return BuildStorage(node);
  }
  return Unknown("(an unknown kind of node)");
}

Result<bool> ObjectDecoder::VisitItems(std::span<const NodeId> nodes, Items* out) {
  out->reserve(out->size() + nodes.size());
  for (NodeId node : nodes) {
    DCP_ASSIGN_OR_RETURN(ValuePtr value, Visit(node));
    if (value == nullptr) return false;
    out->push_back(std::move(value));
  }
  return true;
}

Result<bool> ObjectDecoder::VisitPairs(std::span<const NodeId> pairs, Entries* out) {
  // A key that comes again keeps its place and gets the later value, as in Python.
  std::unordered_map<std::string_view, size_t> seen;
  out->reserve(out->size() + pairs.size() / 2);
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    DCP_ASSIGN_OR_RETURN(ValuePtr key, Visit(pairs[i]));
    if (key == nullptr) return false;
    if (!Hashable(*key)) {
      return Error(Code::kCorrupt, "a dict has {} as a key", DescribeNode(graph_, pairs[i]));
    }
    DCP_ASSIGN_OR_RETURN(ValuePtr value, Visit(pairs[i + 1]));
    if (value == nullptr) return false;
    if (key->kind == ValueKind::kString && pairs.size() > 2) {
      auto [found, fresh] = seen.emplace(key->text, out->size());
      if (!fresh) {
        (*out)[found->second].second = std::move(value);
        continue;
      }
    }
    out->emplace_back(std::move(key), std::move(value));
  }
  return true;
}

Result<ValuePtr> ObjectDecoder::Sequence(ValueKind kind, std::span<const NodeId> nodes) {
  Items items;
  DCP_ASSIGN_OR_RETURN(bool known, VisitItems(nodes, &items));
  if (!known) return ValuePtr();
  return Value::Sequence(kind, std::move(items));
}

Result<ValuePtr> ObjectDecoder::BuildGlobal(NodeId node) {
  std::string_view module = graph_.Module(node);
  std::string_view name = graph_.Name(node);
  if (module == "torch") {
    if (Result<DType> dtype = ReadDType(graph_, node); dtype.ok()) return Value::TypeOf(*dtype);
    if (IsMemoryFormat(name)) return Text(ValueKind::kMemoryFormat, "torch." + std::string(name));
  }
  const KnownGlobal* global = FindKnownGlobal(module, name);
  if (global == nullptr || !(global->uses & kGlobalName)) {
    return Unknown(PrintableName(std::string(module).append(".").append(name)));
  }
  auto value = Make(ValueKind::kConstructed);
  auto constructed = std::make_shared<Constructed>();
  constructed->global = global->FullName();
  value->constructed = std::move(constructed);
  return ValuePtr(std::move(value));
}

Result<ValuePtr> ObjectDecoder::BuildObject(NodeId node) {
  Call call{node, nullptr, {}, graph_.Arguments(node)};
  NodeId callee = graph_.Callee(node);
  if (graph_.kind(callee) != NodeKind::kGlobal) {
    DCP_ASSIGN_OR_RETURN(ValuePtr value, Visit(callee));
    return value == nullptr ? value : Unknown("(a call of an object)");
  }
  bool creates = graph_.kind(node) == NodeKind::kNewObject;
  if (graph_.kind(call.arguments_node) == NodeKind::kTuple) {
    call.arguments = graph_.Items(call.arguments_node);
  }
  // copyreg._reconstructor(cls, object, None): how protocols 0 and 1 call cls.__new__.
  if ((graph_.IsGlobal(callee, "copy_reg", "_reconstructor") ||
       graph_.IsGlobal(callee, "copyreg", "_reconstructor")) &&
      call.arguments.size() == 3 && graph_.kind(call.arguments[0]) == NodeKind::kGlobal &&
      graph_.kind(call.arguments[2]) == NodeKind::kNone) {
    callee = call.arguments[0];
    creates = true;
    call.arguments = {};
    call.arguments_node = pickle::kNoNode;
  }
  call.global = FindKnownGlobal(graph_.Module(callee), graph_.Name(callee));
  uint8_t uses = creates ? kGlobalNew : kGlobalCall;
  if (graph_.State(node) != pickle::kNoNode) uses |= kGlobalState;
  if (!graph_.Items(node).empty()) uses |= kGlobalItems;
  if (!graph_.Pairs(node).empty()) uses |= kGlobalPairs;
  const NodeId keywords = graph_.Keywords(node);
  const bool plain_keywords =
      keywords == pickle::kNoNode ||
      (graph_.kind(keywords) == NodeKind::kDict && graph_.Pairs(keywords).empty());
  if (call.global == nullptr || (call.global->uses & uses) != uses || !plain_keywords ||
      (call.arguments_node != pickle::kNoNode &&
       graph_.kind(call.arguments_node) != NodeKind::kTuple)) {
    return Unknown(
        PrintableName(std::string(graph_.Module(callee)).append(".").append(graph_.Name(callee))));
  }
  return BuildKnown(call);
}

Result<ValuePtr> ObjectDecoder::BuildKnown(const Call& call) {
  switch (call.global->form) {
    case GlobalForm::kPlain:
      return BuildPlain(call);
    case GlobalForm::kOrderedDict:
      return BuildOrderedDict(call);
    case GlobalForm::kSet:
      return BuildCollection(call, ValueKind::kSet);
    case GlobalForm::kFrozenSet:
      return BuildCollection(call, ValueKind::kFrozenSet);
    case GlobalForm::kTensor:
      return BuildTensor(graph_.Callee(call.node), call.arguments_node);
    case GlobalForm::kParameter:
      return BuildParameter(call, 3);
    case GlobalForm::kParameterWithState:
      return BuildParameter(call, 4);
    case GlobalForm::kTypedTensor:
      return BuildTypedTensor(call);
    case GlobalForm::kNumpyArray:
    case GlobalForm::kNumpyScalar:
    case GlobalForm::kNumpyBuffer:
      return BuildNumpy(call);
    default: {
      ValuePtr value = SimpleCall(call);
      return value == nullptr ? Unknown(call) : value;
    }
  }
}

Result<ValuePtr> ObjectDecoder::BuildPlain(const Call& call) {
  auto value = Make(ValueKind::kConstructed);
  auto constructed = std::make_shared<Constructed>();
  constructed->global = call.global->FullName();
  DCP_ASSIGN_OR_RETURN(constructed->arguments, Sequence(ValueKind::kTuple, call.arguments));
  if (constructed->arguments == nullptr) return ValuePtr();
  if (graph_.State(call.node) != pickle::kNoNode) {
    DCP_ASSIGN_OR_RETURN(constructed->state, Visit(graph_.State(call.node)));
    if (constructed->state == nullptr) return ValuePtr();
  }
  DCP_ASSIGN_OR_RETURN(bool items, VisitItems(graph_.Items(call.node), &value->items));
  if (!items) return ValuePtr();
  DCP_ASSIGN_OR_RETURN(bool pairs, VisitPairs(graph_.Pairs(call.node), &value->entries));
  if (!pairs) return ValuePtr();
  value->constructed = std::move(constructed);
  return ValuePtr(std::move(value));
}

// OrderedDict() with entries set, or Python 2's OrderedDict([[key, value], ...]).
Result<ValuePtr> ObjectDecoder::BuildOrderedDict(const Call& call) {
  std::vector<NodeId> pairs;
  if (call.arguments.size() > 1) return Unknown(call);
  if (call.arguments.size() == 1) {
    if (graph_.kind(call.arguments[0]) != NodeKind::kList) return Unknown(call);
    for (NodeId pair : graph_.Items(call.arguments[0])) {
      const NodeKind kind = graph_.kind(pair);
      if ((kind != NodeKind::kList && kind != NodeKind::kTuple) || graph_.Items(pair).size() != 2) {
        return Unknown(call);
      }
      pairs.insert(pairs.end(), graph_.Items(pair).begin(), graph_.Items(pair).end());
    }
  }
  pairs.insert(pairs.end(), graph_.Pairs(call.node).begin(), graph_.Pairs(call.node).end());
  auto value = Make(ValueKind::kOrderedDict);
  DCP_ASSIGN_OR_RETURN(bool known, VisitPairs(pairs, &value->entries));
  if (!known) return ValuePtr();
  if (graph_.State(call.node) != pickle::kNoNode) {
    auto constructed = std::make_shared<Constructed>();
    constructed->global = call.global->FullName();
    DCP_ASSIGN_OR_RETURN(constructed->state, Visit(graph_.State(call.node)));
    if (constructed->state == nullptr) return ValuePtr();
    value->constructed = std::move(constructed);
  }
  return ValuePtr(std::move(value));
}

Result<ValuePtr> ObjectDecoder::BuildCollection(const Call& call, ValueKind kind) {
  if (call.arguments.empty()) return Value::Sequence(kind, {});
  const NodeKind source = graph_.kind(call.arguments[0]);
  if (call.arguments.size() != 1 || (source != NodeKind::kList && source != NodeKind::kTuple &&
                                     source != NodeKind::kSet && source != NodeKind::kFrozenSet)) {
    return Unknown(call);
  }
  return Sequence(kind, graph_.Items(call.arguments[0]));
}

Result<ValuePtr> ObjectDecoder::BuildNumpy(const Call& call) {
  Result<std::optional<Tensor>> array = std::optional<Tensor>();
  ValueKind kind = ValueKind::kNumpyArray;
  if (call.global->form == GlobalForm::kNumpyArray) {
    array = ReadNumpyArray(graph_, call.node);
  } else if (call.global->form == GlobalForm::kNumpyBuffer) {
    array = ReadNumpyBuffer(graph_, call.node);
  } else {
    array = ReadNumpyScalar(graph_, call.node);
    kind = ValueKind::kNumpyScalar;
  }
  if (!array.ok()) return array.status();
  if (!*array) return BuildPlain(call);
  auto value = Make(kind);
  value->tensor = **std::move(array);
  return ValuePtr(std::move(value));
}

}  // namespace dcp
