#include "checkpoint/plan_wire.h"

#include <charconv>

#include "checkpoint/wire.h"
#include "comm/wire_codec.h"

namespace dcp {
namespace {

constexpr uint64_t kVersion = 1;
constexpr uint64_t kMaxItems = UINT32_MAX - 1;
// How much larger than its message a plan's numbers may be: far more than in real ones.
constexpr uint64_t kDimsPerByte = 32;
constexpr uint64_t kDimsBase = 8192;

// ---- paths: mostly the name, cut

enum class PathForm : uint8_t {
  kEveryDot = 0,  // cut at each dot, all parts text
  kAsBefore = 1,  // all parts text; each but the last as long as in the path before
  kCut = 2,       // a length a part, and whether it is an index
  kWritten = 3,   // the parts themselves
};

size_t IndexSize(int64_t index) {
  char text[24];
  return static_cast<size_t>(std::to_chars(text, text + sizeof text, index).ptr - text);
}

size_t PartSize(const PathElement& part) {
  const std::string* text = std::get_if<std::string>(&part);
  return text != nullptr ? text->size() : IndexSize(std::get<int64_t>(part));
}

bool IsCutName(std::string_view name, const Path& path) {
  if (path.empty()) return false;
  for (size_t i = 0; i < path.size(); ++i) {
    if (i > 0) {
      if (name.empty() || name[0] != '.') return false;
      name.remove_prefix(1);
    }
    std::string index;
    const std::string* text = std::get_if<std::string>(&path[i]);
    if (text == nullptr) {
      index = std::to_string(std::get<int64_t>(path[i]));
      text = &index;
    }
    if (name.substr(0, text->size()) != *text) return false;
    name.remove_prefix(text->size());
  }
  return name.empty();
}

class PathCoder {
 public:
  // kAsBefore and kEveryDot only when they say the same as kCut would.
  PathForm FormOf(std::string_view name, const Path& path) const {
    if (!IsCutName(name, path)) return PathForm::kWritten;
    bool dots = true, as_before = path.size() == cuts_.size() + 1;
    for (size_t i = 0; i < path.size(); ++i) {
      const std::string* text = std::get_if<std::string>(&path[i]);
      if (text == nullptr) return PathForm::kCut;
      dots = dots && text->find('.') == std::string::npos;
      as_before = as_before && (i + 1 == path.size() || text->size() == cuts_[i]);
    }
    return dots ? PathForm::kEveryDot : as_before ? PathForm::kAsBefore : PathForm::kCut;
  }

  void Write(PathForm form, const Path& path, WireWriter* out) {
    if (form == PathForm::kCut || form == PathForm::kWritten) {
      out->Number(path.size());
      for (const PathElement& part : path) {
        const std::string* text = std::get_if<std::string>(&part);
        if (form == PathForm::kCut) {
          out->Number(PartSize(part) * 2 + (text == nullptr ? 1 : 0));
        } else if (text != nullptr) {
          out->Number(0);
          out->Text(*text);
        } else {
          out->Number(1);
          out->Signed(std::get<int64_t>(part));
        }
      }
    }
    Remember(path);
  }

  Path Read(PathForm form, std::string_view name, WireReader* in) {
    Path path;
    switch (form) {
      case PathForm::kEveryDot:
        for (size_t dot; (dot = name.find('.')) != std::string_view::npos;) {
          path.emplace_back(std::string(name.substr(0, dot)));
          name.remove_prefix(dot + 1);
        }
        path.emplace_back(std::string(name));
        break;
      case PathForm::kAsBefore:
        for (size_t size : cuts_) {
          if (size >= name.size() || name[size] != '.') {
            in->Fail();
            return path;
          }
          path.emplace_back(std::string(name.substr(0, size)));
          name.remove_prefix(size + 1);
        }
        path.emplace_back(std::string(name));
        break;
      case PathForm::kCut:
        ReadCut(name, in, &path);
        break;
      case PathForm::kWritten:
        for (size_t count = in->Count(2); count > 0 && in->ok(); --count) {
          if (in->Number(1) == 0) {
            path.emplace_back(in->Text());
          } else {
            path.emplace_back(in->Signed());
          }
        }
        break;
    }
    Remember(path);
    return path;
  }

 private:
  static void ReadCut(std::string_view name, WireReader* in, Path* path) {
    const size_t count = in->Count();
    for (size_t i = 0; i < count && in->ok(); ++i) {
      if (i > 0) {
        if (name.empty() || name[0] != '.') return in->Fail();
        name.remove_prefix(1);
      }
      const uint64_t header = in->Number();
      if (header / 2 > name.size()) return in->Fail();
      const std::string_view part = name.substr(0, header / 2);
      name.remove_prefix(part.size());
      if (header % 2 == 0) {
        path->emplace_back(std::string(part));
        continue;
      }
      int64_t index = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
      if (error != std::errc() || end != part.data() + part.size()) return in->Fail();
      path->emplace_back(index);
    }
    if (!name.empty()) in->Fail();
  }

  void Remember(const Path& path) {
    cuts_.clear();
    for (size_t i = 0; i + 1 < path.size(); ++i) cuts_.push_back(PartSize(path[i]));
  }

  std::vector<size_t> cuts_;  // sizes of the parts but the last of the path before
};

// ---- names and paths

std::string EncodeSection(const SavePlan& plan) {
  WireWriter out;
  out.Number(plan.flattened ? 1 : 0);
  out.Number(plan.names.size());
  for (const std::string& name : plan.names) out.Name(name);
  out.Number(plan.planner_data.size());
  PathCoder paths;
  for (size_t i = 0; i < plan.planner_data.size(); ++i) {
    const auto& [name, path] = plan.planner_data[i];
    const bool same = i < plan.names.size() && plan.names[i] == name;
    const PathForm form = paths.FormOf(name, path);
    out.Number(static_cast<uint64_t>(form) * 2 + (same ? 1 : 0));
    if (!same) out.Name(name);
    paths.Write(form, path, &out);
  }
  return out.Take();
}

bool DecodeSection(std::string_view bytes, SavePlan* plan) {
  WireReader in(bytes);
  plan->flattened = in.Number(1) == 1;
  for (size_t names = in.Count(2); names > 0 && in.ok(); --names) plan->names.push_back(in.Name());
  const size_t count = in.Count();
  PathCoder paths;
  for (size_t i = 0; i < count && in.ok(); ++i) {
    const uint64_t header = in.Number(static_cast<uint64_t>(PathForm::kWritten) * 2 + 1);
    std::string name;
    if (header % 2 == 0) {
      name = in.Name();
    } else if (i < plan->names.size()) {
      name = plan->names[i];
    } else {
      in.Fail();
    }
    Path path = paths.Read(static_cast<PathForm>(header / 2), name, &in);
    plan->planner_data.emplace_back(std::move(name), std::move(path));
  }
  return in.complete();
}

// ---- properties and items

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

// An item's header: kind, what is as expected, dimensions.
constexpr uint64_t kKindMask = 3;
constexpr uint64_t kNextName = 4;        // the name after that of the item before
constexpr uint64_t kSameProperties = 8;  // as the last tensor
constexpr uint64_t kSameGlobal = 16;     // size of the whole tensor, as the last tensor's
constexpr uint64_t kNdimUnit = 32;

void WriteItems(const SavePlan& plan, WireWriter* out) {
  out->Number(plan.items.size());
  uint32_t next_name = 0, properties = 0;
  Dims last;
  for (const WriteItem& item : plan.items) {
    const bool bytes = item.kind == WriteKind::kBytes;
    const Dims global = bytes ? Dims() : plan.global_size(item);
    uint64_t header = static_cast<uint64_t>(item.kind);
    if (item.name == next_name) header |= kNextName;
    if (!bytes) {
      if (item.properties == properties) header |= kSameProperties;
      if (std::equal(global.begin(), global.end(), last.begin(), last.end())) {
        header |= kSameGlobal;
      }
      header |= global.size() * kNdimUnit;
    }
    out->Number(header);
    if ((header & kNextName) == 0) out->Signed(int64_t{item.name} - int64_t{next_name});
    next_name = item.name + 1;
    if (bytes) continue;
    if ((header & kSameProperties) == 0) out->Number(item.properties);
    properties = item.properties;
    if ((header & kSameGlobal) == 0) {
      for (int64_t size : global) out->Signed(size);
    }
    last = global;
    const Box box = plan.box(item);
    uint64_t cut = 0;
    for (size_t d = 0; d < global.size(); ++d) {
      if (box.offsets[d] != 0 || box.sizes[d] != global[d]) cut |= uint64_t{1} << d;
    }
    out->Number(cut);
    for (size_t d = 0; d < global.size(); ++d) {
      if ((cut >> d & 1) == 0) continue;
      out->Signed(box.offsets[d]);
      out->Signed(box.sizes[d]);
    }
  }
}

// Into plan->items and plan->dims, which are empty; plan->properties is there.
void ReadItems(size_t names, WireReader* in, uint64_t dims_limit, SavePlan* plan) {
  const size_t count = in->Count();
  if (count > kMaxItems) in->Fail();
  if (!in->ok()) return;
  std::vector<int64_t>& dims = plan->dims;
  plan->items.reserve(count);
  int64_t next_name = 0;
  uint64_t properties = 0;
  size_t last = 0, last_ndim = 0;  // size of the last tensor, in dims
  for (size_t i = 0; i < count; ++i) {
    WriteItem item;
    const uint64_t header = in->Number(kNdimUnit * (kMaxDims + 1) - 1);
    int64_t name = next_name;
    if ((header & kNextName) == 0 && !CheckedAdd(next_name, in->Signed(), &name)) in->Fail();
    if ((header & kKindMask) == 0 || name < 0 || static_cast<uint64_t>(name) >= names) in->Fail();
    if (!in->ok()) return;
    next_name = name + 1;
    item.name = static_cast<uint32_t>(name);
    item.kind = static_cast<WriteKind>(header & kKindMask);
    item.source = static_cast<uint32_t>(i);
    const size_t n = header / kNdimUnit;
    if (item.kind == WriteKind::kBytes) {
      if ((header & ~(kKindMask | kNextName)) != 0) return in->Fail();
      plan->items.push_back(item);
      continue;
    }
    if ((header & kSameProperties) == 0) properties = in->Number();
    if (properties >= plan->properties.size()) return in->Fail();
    item.properties = static_cast<uint32_t>(properties);
    item.ndim = static_cast<uint8_t>(n);
    if (dims.size() + 3 * n > std::min<uint64_t>(dims_limit, UINT32_MAX)) return in->Fail();
    if ((header & kSameGlobal) == 0) {
      last = dims.size();
      for (size_t d = 0; d < n; ++d) dims.push_back(in->Signed());
    } else if (n != last_ndim) {
      return in->Fail();
    }
    last_ndim = n;
    item.global = static_cast<uint32_t>(last);
    item.box = static_cast<uint32_t>(dims.size());
    dims.resize(dims.size() + 2 * n, 0);
    const int64_t* global = dims.data() + item.global;
    int64_t* offsets = dims.data() + item.box;
    int64_t* sizes = offsets + n;
    const uint64_t cut = in->Number(n == 64 ? UINT64_MAX : (uint64_t{1} << n) - 1);
    for (size_t d = 0; d < n; ++d) {
      if ((cut >> d & 1) == 0) {
        sizes[d] = global[d];
      } else {
        offsets[d] = in->Signed();
        sizes[d] = in->Signed();
      }
    }
    plan->items.push_back(item);
  }
}

// What comes after names and paths. False when it cannot be read.
bool ReadRest(size_t names, size_t message_size, WireReader* in, SavePlan* plan) {
  plan->properties.clear();
  plan->dims.clear();
  plan->items.clear();
  for (size_t count = in->Count(3); count > 0 && in->ok(); --count) {
    plan->properties.push_back(ReadProperties(in));
  }
  ReadItems(names, in, message_size * kDimsPerByte + kDimsBase, plan);
  return in->complete();
}

struct Opening {
  std::string_view storage_data;
  std::string_view section;
};

Result<Opening> ReadOpening(WireReader* in) {
  const uint64_t version = in->Number();
  if (in->ok() && version != kVersion) {
    return Error(Code::kCorrupt,
                 "another rank sent a plan of version {}, known is {}: run the same version of "
                 "libdcp on all ranks",
                 version, kVersion);
  }
  Opening opening;
  opening.storage_data = in->TextView();
  opening.section = in->TextView();
  return opening;
}

}  // namespace

std::string EncodePlan(const SavePlan& plan) { return EncodePlan(plan, plan.storage_data); }

std::string EncodePlan(const SavePlan& plan, std::string_view storage_data) {
  WireWriter out;
  out.Number(kVersion);
  out.Text(storage_data);
  out.Text(EncodeSection(plan));
  out.Number(plan.properties.size());
  for (const TensorProperties& properties : plan.properties) WriteProperties(properties, &out);
  WriteItems(plan, &out);
  return out.Take();
}

Result<SavePlan> DecodePlan(std::string_view bytes) {
  WireReader in(bytes);
  DCP_ASSIGN_OR_RETURN(Opening opening, ReadOpening(&in));
  SavePlan plan;
  plan.storage_data = opening.storage_data;
  if (!DecodeSection(opening.section, &plan) ||
      !ReadRest(plan.names.size(), bytes.size(), &in, &plan)) {
    return MalformedMessage("a plan");
  }
  return plan;
}

Result<const PlanReceiver::Section*> PlanReceiver::Find(std::string_view section) {
  // Ranks tend to send what the rank before sent.
  if (last_ < sections_.size() && sections_[last_].bytes == section) return &sections_[last_];
  const auto fresh = static_cast<uint32_t>(sections_.size());
  last_ = by_bytes_.FindOrAdd(SeededHash(section), fresh,
                              [&](uint32_t other) { return sections_[other].bytes == section; });
  if (last_ != fresh) return &sections_[last_];
  SavePlan plan;
  if (!DecodeSection(section, &plan)) return MalformedMessage("a plan");
  const auto names = static_cast<uint32_t>(plan.names.size());
  const uint32_t table = merge_.AddTable(std::move(plan.names), std::move(plan.planner_data));
  sections_.push_back({std::string(section), table, names, plan.flattened});
  return &sections_.back();
}

Result<std::string> PlanReceiver::Add(std::string_view bytes) {
  WireReader in(bytes);
  DCP_ASSIGN_OR_RETURN(const Opening opening, ReadOpening(&in));
  if (!in.ok()) return MalformedMessage("a plan");
  DCP_ASSIGN_OR_RETURN(const Section* section, Find(opening.section));
  if (!ReadRest(section->names, bytes.size(), &in, &scratch_)) return MalformedMessage("a plan");
  DCP_RETURN_IF_ERROR(merge_.Add(section->table, section->flattened, scratch_.properties,
                                 scratch_.dims, scratch_.items));
  return std::string(opening.storage_data);
}

Status PlanReceiver::Add(const SavePlan& plan) {
  DCP_ASSIGN_OR_RETURN(const Section* section, Find(EncodeSection(plan)));
  return merge_.Add(section->table, plan.flattened, plan.properties, plan.dims, plan.items);
}

}  // namespace dcp
