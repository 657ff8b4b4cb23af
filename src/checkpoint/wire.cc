#include "checkpoint/wire.h"

#include <charconv>

#include "comm/wire_codec.h"

namespace dcp {
namespace {

constexpr uint64_t kMaxId = UINT32_MAX - 1;

Status Malformed(std::string_view what) {
  return Error(Code::kCorrupt,
               "another rank sent {} that cannot be read: do all ranks run the same version of "
               "libdcp, and is the communicator theirs alone?",
               what);
}

// ---- paths: mostly the name cut at its dots ----

enum class PathForm : uint8_t { kCutName = 0, kWritten = 1 };

bool IsCutName(std::string_view name, const Path& path) {
  std::string joined;
  for (size_t i = 0; i < path.size(); ++i) {
    if (i > 0) joined += '.';
    if (const std::string* text = std::get_if<std::string>(&path[i])) {
      joined += *text;
    } else {
      joined += std::to_string(std::get<int64_t>(path[i]));
    }
    if (joined.size() > name.size()) return false;
  }
  return !path.empty() && joined == name;
}

void WritePath(std::string_view name, const Path& path, WireWriter* out) {
  PathForm form = IsCutName(name, path) ? PathForm::kCutName : PathForm::kWritten;
  out->Number(static_cast<uint64_t>(form));
  out->Number(path.size());
  for (const PathElement& element : path) {
    const std::string* text = std::get_if<std::string>(&element);
    if (form == PathForm::kCutName) {
      size_t size =
          text != nullptr ? text->size() : std::to_string(std::get<int64_t>(element)).size();
      out->Number(size * 2 + (text == nullptr ? 1 : 0));
    } else if (text != nullptr) {
      out->Number(0);
      out->Text(*text);
    } else {
      out->Number(1);
      out->Signed(std::get<int64_t>(element));
    }
  }
}

Path ReadPath(std::string_view name, WireReader* in) {
  PathForm form = static_cast<PathForm>(in->Number(1));
  size_t count = in->Count();
  Path path;
  for (size_t i = 0; i < count && in->ok(); ++i) {
    if (form == PathForm::kWritten) {
      if (in->Number(1) == 0) {
        path.emplace_back(in->Text());
      } else {
        path.emplace_back(in->Signed());
      }
      continue;
    }
    if (i > 0) {
      if (name.empty() || name[0] != '.') {
        in->Fail();
        break;
      }
      name.remove_prefix(1);
    }
    uint64_t header = in->Number();
    uint64_t size = header / 2;
    if (size > name.size()) {
      in->Fail();
      break;
    }
    std::string_view part = name.substr(0, size);
    name.remove_prefix(size);
    if (header % 2 == 0) {
      path.emplace_back(std::string(part));
      continue;
    }
    int64_t index = 0;
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (error != std::errc() || end != part.data() + part.size()) in->Fail();
    path.emplace_back(index);
  }
  return path;
}

// ---- the parts of a plan ----

void WriteProperties(const TensorProperties& properties, WireWriter* out) {
  out->Number(static_cast<uint64_t>(properties.dtype));
  out->Text(properties.layout);
  out->Number(static_cast<uint64_t>(properties.memory_format) * 4 +
              (properties.requires_grad ? 2 : 0) + (properties.pin_memory ? 1 : 0));
}

TensorProperties ReadProperties(WireReader* in) {
  TensorProperties properties;
  uint64_t dtype = in->Number(INT32_MAX);
  if (!IsValidDType(static_cast<int32_t>(dtype))) in->Fail();
  if (in->ok()) properties.dtype = static_cast<DType>(dtype);
  properties.layout = in->Text();
  uint64_t flags = in->Number(static_cast<uint64_t>(MemoryFormat::kPreserve) * 4 + 3);
  properties.memory_format = static_cast<MemoryFormat>(flags / 4);
  properties.requires_grad = (flags & 2) != 0;
  properties.pin_memory = (flags & 1) != 0;
  return properties;
}

// Numbers that mostly follow from the item before are written as the difference.
class ItemPredictor {
 public:
  int64_t Delta(const WriteItem& item, uint32_t WriteItem::*field) const {
    return int64_t{item.*field} - int64_t{expected_.*field};
  }
  uint32_t Undo(int64_t delta, uint32_t WriteItem::*field, WireReader* in) const {
    int64_t value;
    if (!CheckedAdd<int64_t>(expected_.*field, delta, &value) || value < 0 || value > UINT32_MAX) {
      in->Fail();
      return 0;
    }
    return static_cast<uint32_t>(value);
  }
  void Next(const WriteItem& item) {
    expected_ = item;
    expected_.name = item.name + 1;
    expected_.global = item.global + 3u * item.ndim;
    expected_.box = item.box + 3u * item.ndim;
  }

 private:
  WriteItem expected_;
};

constexpr uint32_t WriteItem::*kItemFields[] = {&WriteItem::name, &WriteItem::properties,
                                                &WriteItem::global, &WriteItem::box};

bool ItemIsSound(const WriteItem& item, const SavePlan& plan) {
  if (item.name >= plan.names.size()) return false;
  if (item.kind == WriteKind::kBytes) return item.ndim == 0;
  uint64_t global_end = uint64_t{item.global} + item.ndim;
  uint64_t box_end = uint64_t{item.box} + 2 * uint64_t{item.ndim};
  return item.properties < plan.properties.size() && global_end <= plan.dims.size() &&
         box_end <= plan.dims.size();
}

}  // namespace

std::string EncodePlanMessage(const PlanMessage& message) {
  const SavePlan& plan = message.plan;
  WireWriter out;
  out.Number(message.next_generation);
  out.Number(plan.flattened ? 1 : 0);
  out.Number(plan.names.size());
  for (const std::string& name : plan.names) out.Name(name);
  out.Number(plan.properties.size());
  for (const TensorProperties& properties : plan.properties) WriteProperties(properties, &out);
  out.Number(plan.dims.size());
  for (int64_t dim : plan.dims) out.Signed(dim);
  out.Number(plan.items.size());
  ItemPredictor predictor;
  for (const WriteItem& item : plan.items) {
    out.Number(static_cast<uint64_t>(item.kind) + 4 * uint64_t{item.ndim});
    for (auto field : kItemFields) out.Signed(predictor.Delta(item, field));
    predictor.Next(item);
  }
  out.Number(plan.planner_data.size());
  for (size_t i = 0; i < plan.planner_data.size(); ++i) {
    const auto& [name, path] = plan.planner_data[i];
    bool same = i < plan.names.size() && plan.names[i] == name;
    out.Number(same ? 1 : 0);
    if (!same) out.Name(name);
    WritePath(name, path, &out);
  }
  return out.Take();
}

Result<PlanMessage> DecodePlanMessage(std::string_view bytes) {
  WireReader in(bytes);
  PlanMessage message;
  SavePlan& plan = message.plan;
  message.next_generation = in.Number();
  plan.flattened = in.Number(1) == 1;
  size_t names = in.Count(2);
  for (; names > 0 && in.ok(); --names) plan.names.push_back(in.Name());
  size_t properties = in.Count(3);
  for (; properties > 0 && in.ok(); --properties) plan.properties.push_back(ReadProperties(&in));
  size_t dims = in.Count();
  for (; dims > 0 && in.ok(); --dims) {
    plan.dims.push_back(in.Signed());  // what is out of bounds is for validation to name
  }
  size_t items = in.Count(1 + std::size(kItemFields));
  if (items > kMaxId) in.Fail();
  ItemPredictor predictor;
  for (size_t i = 0; i < items && in.ok(); ++i) {
    WriteItem item;
    uint64_t header = in.Number(4 * uint64_t{kMaxDims} + 3);
    if (header % 4 == 0) in.Fail();
    item.kind = static_cast<WriteKind>(header % 4);
    item.ndim = static_cast<uint8_t>(header / 4);
    for (auto field : kItemFields) item.*field = predictor.Undo(in.Signed(), field, &in);
    item.source = static_cast<uint32_t>(i);
    predictor.Next(item);
    if (in.ok() && !ItemIsSound(item, plan)) in.Fail();
    plan.items.push_back(item);
  }
  size_t paths = in.Count(3);
  for (size_t i = 0; i < paths && in.ok(); ++i) {
    std::string name;
    if (in.Number(1) == 0) {
      name = in.Name();
    } else if (i < plan.names.size()) {
      name = plan.names[i];
    } else {
      in.Fail();
    }
    Path path = ReadPath(name, &in);
    plan.planner_data.emplace_back(std::move(name), std::move(path));
  }
  if (!in.complete()) return Malformed("a plan");
  return message;
}

std::string EncodeAssignment(const Assignment& assignment) {
  WireWriter out;
  out.Text(assignment.save_id);
  out.Number(assignment.generation);
  out.Number(assignment.sources.size());
  int64_t expected = 0;
  for (uint32_t source : assignment.sources) {
    out.Signed(int64_t{source} - expected);
    expected = int64_t{source} + 1;
  }
  return out.Take();
}

Result<Assignment> DecodeAssignment(std::string_view bytes) {
  WireReader in(bytes);
  Assignment assignment;
  assignment.save_id = in.Text();
  assignment.generation = in.Number();
  size_t count = in.Count();
  int64_t expected = 0;
  for (; count > 0 && in.ok(); --count) {
    int64_t source;
    if (!CheckedAdd<int64_t>(expected, in.Signed(), &source) || source < 0 ||
        source > static_cast<int64_t>(kMaxId)) {
      in.Fail();
      break;
    }
    assignment.sources.push_back(static_cast<uint32_t>(source));
    expected = source + 1;
  }
  if (!in.complete()) return Malformed("an assignment");
  return assignment;
}

std::string EncodeOutcomeMessage(const OutcomeMessage& message) {
  const WriteOutcome& outcome = message.outcome;
  WireWriter out;
  out.Text(message.save_id);
  out.Number(outcome.bytes);
  out.Number(outcome.files.size());
  for (const std::string& file : outcome.files) out.Name(file);
  out.Number(outcome.items.size());
  for (const WrittenItem& item : outcome.items) {
    out.Number(item.file);
    out.Number(item.offset);
    out.Number(item.length);
    out.Number(item.crc32);
  }
  return out.Take();
}

Result<OutcomeMessage> DecodeOutcomeMessage(std::string_view bytes) {
  WireReader in(bytes);
  OutcomeMessage message;
  WriteOutcome& outcome = message.outcome;
  message.save_id = in.Text();
  outcome.bytes = in.Number();
  size_t files = in.Count(2);
  for (; files > 0 && in.ok(); --files) outcome.files.push_back(in.Name());
  size_t items = in.Count(4);
  for (; items > 0 && in.ok(); --items) {
    WrittenItem item;
    item.file = static_cast<uint32_t>(in.Number(kMaxId));
    item.offset = in.Number();
    item.length = in.Number();
    item.crc32 = static_cast<uint32_t>(in.Number(UINT32_MAX));
    if (item.file >= outcome.files.size()) in.Fail();
    outcome.items.push_back(item);
  }
  if (!in.complete()) return Malformed("the outcome of its writes");
  return message;
}

std::string EncodeCommitMessage(const CommitMessage& message) {
  WireWriter out;
  out.Number(message.synced ? 1 : 0);
  return out.Take();
}

Result<CommitMessage> DecodeCommitMessage(std::string_view bytes) {
  WireReader in(bytes);
  CommitMessage message;
  message.synced = in.Number(1) == 1;
  if (!in.complete()) return Malformed("the outcome of the commit");
  return message;
}

}  // namespace dcp
