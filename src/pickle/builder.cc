#include "pickle/builder.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace dcp::pickle {
namespace {

constexpr uint64_t kMaxLinks = 0xfffffffe;
constexpr size_t kLargeInput = 16 << 20;
constexpr size_t kInputPerNode = 16;  // bytes; mostly it is more
constexpr int64_t kPlainIntEnd = int64_t{1} << 57;

bool IsObject(NodeKind kind) { return kind == NodeKind::kReduce || kind == NodeKind::kNewObject; }

}  // namespace

Builder::Builder(Arena* arena) : arena_(*arena) {
  if (const size_t size = arena->input.size(); size >= kLargeInput) {
    arena_.nodes.Expect(size / kInputPerNode);
    arena_.links.Expect(size / kInputPerNode);
  }
  Add(PlainNode(NodeKind::kNone, 0, 0));
  Add(PlainNode(NodeKind::kBool, 0, 0));
  Add(PlainNode(NodeKind::kBool, 0, 1));
  Add(PlainNode(NodeKind::kTuple, 0, 0));
}

NodeId Builder::WideInt(int64_t value) {
  if (value >= -kPlainIntEnd && value < kPlainIntEnd) {
    const auto bits = static_cast<uint64_t>(value);
    return Add(PlainNode(NodeKind::kInt, static_cast<uint32_t>(bits >> 32 & (kRestEnd - 1)),
                         static_cast<uint32_t>(bits)));
  }
  arena_.integers.push_back(value);
  return Add(SideNode(NodeKind::kInt, arena_.integers.size() - 1));
}

NodeId Builder::Float(double value) {
  arena_.floats.push_back(value);
  return Add(PlainNode(NodeKind::kFloat, 0, static_cast<uint32_t>(arena_.floats.size() - 1)));
}

NodeId Builder::LongText(NodeKind kind, uint64_t offset, uint64_t length) {
  arena_.texts.push_back(AsText(arena_.input.subspan(offset, length)));
  return Add(SideNode(kind, arena_.texts.size() - 1));
}

NodeId Builder::OwnedText(NodeKind kind, std::string text) {
  arena_.owned.push_back(std::move(text));
  arena_.texts.push_back(arena_.owned.back());
  return Add(SideNode(kind, arena_.texts.size() - 1));
}

NodeId Builder::Global(NodeId module, NodeId name) {
  const NodeId links[] = {module, name};
  const auto begin = static_cast<uint32_t>(arena_.links.size());
  arena_.links.Append(links, 2);
  return Add(PlainNode(NodeKind::kGlobal, 0, begin));
}

NodeId Builder::AddRecord(NodeKind kind, const ObjectRecord& record) {
  arena_.objects.push_back(record);
  return Add(SideNode(kind, arena_.objects.size() - 1));
}

NodeId Builder::Reduce(NodeId callee, NodeId arguments) {
  if (callee < kRestEnd) return Add(PlainNode(NodeKind::kReduce, callee, arguments));
  ObjectRecord record;
  record.callee = callee;
  record.arguments = arguments;
  return AddRecord(NodeKind::kReduce, record);
}

NodeId Builder::NewObject(NodeId callee, NodeId arguments, NodeId keywords) {
  if (callee < kFoldedBit && arguments == kEmptyTupleNode && keywords == kNoNode) {
    return Add(PlainNode(NodeKind::kNewObject, callee, kNoNode));
  }
  ObjectRecord record;
  record.callee = callee;
  record.arguments = arguments;
  record.keywords = keywords;
  return AddRecord(NodeKind::kNewObject, record);
}

ObjectRecord& Builder::Record(NodeId object) {
  Node& node = arena_.nodes[object];
  if (node.plain()) {
    ObjectRecord record;
    record.callee = node.rest();
    const bool reduce = node.kind() == NodeKind::kReduce;
    record.arguments = reduce ? node.payload : kEmptyTupleNode;
    if (!reduce) record.state = node.payload;
    arena_.objects.push_back(record);
    node = SideNode(node.kind(), arena_.objects.size() - 1);
  }
  return arena_.objects[node.payload];
}

bool Builder::SetState(NodeId target, NodeId state) {
  Node& node = arena_.nodes[target];
  if (node.kind() == NodeKind::kNewObject && node.plain()) {
    if (node.payload != kNoNode) return false;
    node.payload = state;
    return true;
  }
  ObjectRecord& record = Record(target);
  if (record.state != kNoNode) return false;
  record.state = state;
  return true;
}

bool Builder::SetFolded(NodeId target, uint32_t row) {
  Node& node = arena_.nodes[target];
  if (node.kind() != NodeKind::kNewObject || !node.plain() || node.payload != kNoNode) return false;
  node = PlainNode(NodeKind::kNewObject, node.rest() | kFoldedBit, row);
  return true;
}

void Builder::Truncate(size_t nodes, size_t links) {
  arena_.nodes.Truncate(nodes);
  arena_.links.Truncate(links);
  texts_kept_ = std::min(texts_kept_, nodes);
}

void Builder::KeepTexts() {
  for (; texts_kept_ < arena_.nodes.size(); ++texts_kept_) {
    Node& node = arena_.nodes[texts_kept_];
    if (!IsText(node.kind())) continue;
    const std::string_view text = TextOf(arena_, node);
    const auto* begin = reinterpret_cast<const char*>(arena_.input.data());
    if (std::less<>()(text.data(), begin) ||
        !std::less<>()(text.data(), begin + arena_.input.size())) {
      continue;
    }
    const uint64_t offset = arena_.input.size() + arena_.kept.size();
    if (node.plain() && offset < kTextOffsetEnd) {
      arena_.kept.Append(text.data(), text.size());
      node = TextNode(node.kind(), offset, text.size());
    } else {
      arena_.owned.emplace_back(text);
      arena_.texts.push_back(arena_.owned.back());
      node = SideNode(node.kind(), arena_.texts.size() - 1);
    }
  }
}

// A run at the end of the links grows in place; another moves there with room for as much again,
// so that growing by batches costs a constant per child.
bool Builder::ExtendRun(Run* run, const NodeId* links, size_t count) {
  if (count <= run->capacity - run->size) {
    std::copy_n(links, count, arena_.links.data() + run->begin + run->size);
    run->size += static_cast<uint32_t>(count);
    return true;
  }
  PodArray<NodeId>& all = arena_.links;
  const size_t size = run->size + count;
  const bool in_place = size_t{run->begin} + run->capacity == all.size();
  size_t capacity = size;
  if (!in_place && run->size > 0) capacity = std::max<size_t>(size, 2 * size_t{run->size});
  const size_t begin = in_place ? run->begin : all.size();
  if (begin > kMaxLinks || capacity > kMaxLinks - begin) return false;
  if (in_place) {
    all.Extend(capacity - run->capacity);
  } else {
    all.Extend(capacity);
    std::copy_n(all.data() + run->begin, run->size, all.data() + begin);
  }
  std::copy_n(links, count, all.data() + begin + run->size);
  std::fill(all.data() + begin + size, all.data() + begin + capacity, kNoNode);
  *run = {static_cast<uint32_t>(begin), static_cast<uint32_t>(size),
          static_cast<uint32_t>(capacity)};
  return true;
}

bool Builder::Container(NodeKind kind, const NodeId* children, size_t count, NodeId* out) {
  if (kind == NodeKind::kTuple && count == 0) {
    *out = kEmptyTupleNode;
    return true;
  }
  *out = Add(PlainNode(kind, 0, 0));
  return count == 0 || ExtendContainer(*out, children, count);
}

bool Builder::ExtendContainer(NodeId target, const NodeId* children, size_t count) {
  Node& node = arena_.nodes[target];
  if (!node.plain()) return ExtendRun(&arena_.runs[node.payload], children, count);
  const uint32_t held = node.rest();
  if (held == 0 && count == 1) {
    node = PlainNode(node.kind(), 1, children[0]);
    return true;
  }
  Run run = {node.payload, held, held};
  if (held <= 1) {
    run = Run();
    if (held == 1 && !ExtendRun(&run, &node.payload, 1)) return false;
  }
  if (!ExtendRun(&run, children, count)) return false;
  if (run.size == run.capacity && run.size < kRestEnd) {
    node = PlainNode(node.kind(), run.size, run.begin);
    return true;
  }
  arena_.runs.push_back(run);
  node = SideNode(node.kind(), arena_.runs.size() - 1);
  return true;
}

bool Builder::AddItems(NodeId target, const NodeId* items, size_t count) {
  if (count == 0 || IsFolded(target)) return true;
  if (IsObject(kind(target))) return ExtendRun(&Record(target).items, items, count);
  return ExtendContainer(target, items, count);
}

bool Builder::AddPairs(NodeId target, const NodeId* pairs, size_t count) {
  if (count == 0 || IsFolded(target)) return true;
  if (IsObject(kind(target))) return ExtendRun(&Record(target).pairs, pairs, count);
  return ExtendContainer(target, pairs, count);
}

}  // namespace dcp::pickle
