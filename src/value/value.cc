#include "value/value.h"

#include <cstring>

namespace dcp {
namespace {

std::shared_ptr<Value> Make(ValueKind kind) {
  auto value = std::make_shared<Value>();
  value->kind = kind;
  return value;
}

bool HasChildren(const Value& value) {
  return !value.items.empty() || !value.entries.empty() || value.constructed != nullptr;
}

// Remembers the children that die with their only parent and have children of their own.
void CollectDying(const Value& value, std::vector<ValuePtr>* dying) {
  auto collect = [dying](const ValuePtr& child) {
    if (child != nullptr && child.use_count() == 1 && HasChildren(*child)) dying->push_back(child);
  };
  for (const ValuePtr& item : value.items) collect(item);
  for (const auto& [key, entry] : value.entries) {
    collect(key);
    collect(entry);
  }
  if (value.constructed != nullptr && value.constructed.use_count() == 1) {
    collect(value.constructed->arguments);
    collect(value.constructed->state);
  }
}

}  // namespace

Value::~Value() {
  if (!HasChildren(*this)) return;
  try {
    std::vector<ValuePtr> dying;
    CollectDying(*this, &dying);
    items.clear();
    entries.clear();
    constructed.reset();
    while (!dying.empty()) {
      // Its own children are held by `dying` when it goes, so its destructor finds none to collect.
      ValuePtr last = std::move(dying.back());
      dying.pop_back();
      CollectDying(*last, &dying);
    }
  } catch (const std::bad_alloc&) {
    // The members destroy what is left, each level on the stack.
  }
}

ValuePtr Value::None() { return Make(ValueKind::kNone); }

ValuePtr Value::Bool(bool value) {
  auto made = Make(ValueKind::kBool);
  made->boolean = value;
  return made;
}

ValuePtr Value::Int(int64_t value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return BigInt(std::move(bytes));
}

ValuePtr Value::BigInt(std::string twos_complement) {
  auto made = Make(ValueKind::kInt);
  size_t size = twos_complement.size();
  auto at = [&](size_t i) { return static_cast<uint8_t>(twos_complement[i]); };
  while (size > 1 && ((at(size - 1) == 0x00 && at(size - 2) < 0x80) ||
                      (at(size - 1) == 0xff && at(size - 2) >= 0x80))) {
    --size;
  }
  if (size == 1 && at(0) == 0) size = 0;
  twos_complement.resize(size);
  made->text = std::move(twos_complement);
  return made;
}

ValuePtr Value::Float(double value) {
  auto made = Make(ValueKind::kFloat);
  made->real = value;
  return made;
}

ValuePtr Value::Complex(double real, double imaginary) {
  auto made = Make(ValueKind::kComplex);
  made->real = real;
  made->imaginary = imaginary;
  return made;
}

ValuePtr Value::String(std::string utf8) {
  auto made = Make(ValueKind::kString);
  made->text = std::move(utf8);
  return made;
}

ValuePtr Value::BytesOf(std::string bytes) {
  auto made = Make(ValueKind::kBytes);
  made->text = std::move(bytes);
  return made;
}

ValuePtr Value::Sequence(ValueKind kind, std::vector<ValuePtr> items) {
  auto made = Make(kind);
  made->items = std::move(items);
  return made;
}

ValuePtr Value::Dict(std::vector<std::pair<ValuePtr, ValuePtr>> entries, bool ordered) {
  auto made = Make(ordered ? ValueKind::kOrderedDict : ValueKind::kDict);
  made->entries = std::move(entries);
  return made;
}

ValuePtr Value::SizeOf(Shape size) {
  auto made = Make(ValueKind::kSize);
  made->size = std::move(size);
  return made;
}

ValuePtr Value::TypeOf(DType dtype) {
  auto made = Make(ValueKind::kDType);
  made->text = std::string("torch.").append(DTypeName(dtype));
  return made;
}

ValuePtr Value::Of(Tensor tensor) {
  auto made = Make(ValueKind::kTensor);
  made->tensor = std::move(tensor);
  return made;
}

ValuePtr Value::Of(ShardedTensor sharded) {
  auto made = Make(ValueKind::kShardedTensor);
  made->sharded = std::make_shared<const ShardedTensor>(std::move(sharded));
  return made;
}

ValuePtr Value::OpaqueOf(std::string global, std::shared_ptr<const std::string> pickled) {
  auto made = Make(ValueKind::kOpaque);
  made->opaque = std::make_shared<const Opaque>(Opaque{std::move(global), std::move(pickled)});
  return made;
}

bool Value::ToInt64(int64_t* out) const {
  if (kind != ValueKind::kInt || text.size() > sizeof *out) return false;
  const bool negative = !text.empty() && static_cast<uint8_t>(text.back()) >= 0x80;
  int64_t value = negative ? -1 : 0;
  if (!text.empty()) std::memcpy(&value, text.data(), text.size());
  *out = value;
  return true;
}

const ValuePtr* Value::Find(std::string_view string_key) const {
  for (size_t i = entries.size(); i-- > 0;) {
    const Value* key = entries[i].first.get();
    if (key != nullptr && key->kind == ValueKind::kString && key->text == string_key) {
      return &entries[i].second;
    }
  }
  return nullptr;
}

}  // namespace dcp
