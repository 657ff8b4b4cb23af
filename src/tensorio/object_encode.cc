#include "tensorio/object_encode.h"

#include <algorithm>

#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kBatch = 1000;       // children an APPENDS or SETITEMS takes, as in Python
constexpr size_t kInternedSize = 64;  // longest key that is remembered for its next use

// Immutable and small: writing one again costs no more than referring to it.
bool IsAtom(ValueKind kind) {
  return kind == ValueKind::kNone || kind == ValueKind::kBool || kind == ValueKind::kInt ||
         kind == ValueKind::kFloat || kind == ValueKind::kDType;
}

}  // namespace

Status ObjectEncoder::Encode(const Value& root) {
  DCP_RETURN_IF_ERROR(Write(root));
  writer_.Stop();
  return Status::Ok();
}

Status ObjectEncoder::Child(const ValuePtr& value) {
  if (value == nullptr) return Error(Code::kInvalidArgument, "a value tree has an empty place");
  if (value.use_count() == 1 || IsAtom(value->kind)) return Write(*value);
  if (auto found = written_.find(value.get()); found != written_.end()) {
    writer_.Get(found->second);
    return Status::Ok();
  }
  DCP_RETURN_IF_ERROR(Write(*value));
  written_.emplace(value.get(), writer_.Memoize());
  return Status::Ok();
}

Status ObjectEncoder::Write(const Value& value) {
  if (depth_ > kMaxObjectDepth) {
    return Error(Code::kLimit, "an object is nested more than {} deep", kMaxObjectDepth);
  }
  ++depth_;
  Status status;
  switch (value.kind) {
    case ValueKind::kNone:
      writer_.None();
      break;
    case ValueKind::kBool:
      writer_.Bool(value.boolean);
      break;
    case ValueKind::kInt:
      if (int64_t number; value.ToInt64(&number)) {
        writer_.Int(number);
      } else {
        writer_.BigInt(value.text);
      }
      break;
    case ValueKind::kFloat:
      writer_.Float(value.real);
      break;
    case ValueKind::kComplex:
      Global("builtins.complex");
      writer_.Float(value.real);
      writer_.Float(value.imaginary);
      writer_.Tuple2();
      writer_.Reduce();
      break;
    case ValueKind::kString:
      status = String(value);
      break;
    case ValueKind::kBytes:
      writer_.BytesValue(value.text);
      break;
    case ValueKind::kByteArray:
      Global("builtins.bytearray");
      writer_.BytesValue(value.text);
      writer_.Tuple1();
      writer_.Reduce();
      break;
    case ValueKind::kList:
      writer_.EmptyList();
      status = Items(value.items);
      break;
    case ValueKind::kTuple:
      status = Tuple(value.items);
      break;
    case ValueKind::kDict:
      writer_.EmptyDict();
      status = Entries(value);
      break;
    case ValueKind::kOrderedDict:
      status = OrderedDict(value);
      break;
    case ValueKind::kSet:
      status = Collection("builtins.set", value.items);
      break;
    case ValueKind::kFrozenSet:
      status = Collection("builtins.frozenset", value.items);
      break;
    case ValueKind::kSize:
      Global("torch.Size");
      Dims(value.size);
      writer_.Tuple1();
      writer_.Reduce();
      break;
    case ValueKind::kDType:
      if (!DTypeFromName(value.text)) {
        status = Error(Code::kInvalidArgument, "unknown dtype '{}'", PrintableName(value.text));
      } else {
        writer_.Global("torch", DTypeName(*DTypeFromName(value.text)));
      }
      break;
    case ValueKind::kDevice:
      Device(value.text);
      break;
    case ValueKind::kLayout:
      Global("torch.serialization._get_layout");
      writer_.InternedString(value.text);
      writer_.Tuple1();
      writer_.Reduce();
      break;
    case ValueKind::kMemoryFormat: {
      std::string_view name = value.text;
      const bool known = name == "torch.contiguous_format" || name == "torch.channels_last" ||
                         name == "torch.channels_last_3d" || name == "torch.preserve_format";
      if (known) {
        writer_.Global("torch", name.substr(6));
      } else {
        status = Error(Code::kInvalidArgument, "unknown memory format '{}'", PrintableName(name));
      }
      break;
    }
    case ValueKind::kTensor:
      status = Tensor(value);
      break;
    case ValueKind::kPath: {
      const KnownGlobal* type = FindKnownGlobal(value.name);
      if (type == nullptr || type->form != GlobalForm::kPath || !IsWtf8(value.text)) {
        status =
            Error(Code::kInvalidArgument, "a path of unknown type '{}'", PrintableName(value.name));
        break;
      }
      Global(*type);
      writer_.String(value.text);
      writer_.Tuple1();
      writer_.Reduce();
      break;
    }
    case ValueKind::kNumpyArray:
    case ValueKind::kNumpyScalar:
      status = Numpy(value);
      break;
    case ValueKind::kConstructed:
      status = Constructed(value);
      break;
    case ValueKind::kShardedTensor:
      status = Error(Code::kUnsupported, "a sharded tensor inside an object cannot be stored");
      break;
    case ValueKind::kOpaque:
      status =
          Error(Code::kUnsupported,
                "an opaque object ({}) can be stored as an item of its own, not inside another",
                value.opaque ? PrintableName(value.opaque->global) : "");
      break;
  }
  --depth_;
  return status;
}

Status ObjectEncoder::String(const Value& value) {
  if (!IsWtf8(value.text)) {
    return Error(Code::kInvalidArgument, "the string '{}' is not UTF-8", PrintableName(value.text));
  }
  writer_.String(value.text);
  return Status::Ok();
}

Status ObjectEncoder::Items(const std::vector<ValuePtr>& items) {
  if (items.size() == 1) {
    DCP_RETURN_IF_ERROR(Child(items[0]));
    writer_.Append();
    return Status::Ok();
  }
  for (size_t i = 0; i < items.size(); ++i) {
    if (i % kBatch == 0) writer_.Mark();
    DCP_RETURN_IF_ERROR(Child(items[i]));
    if (i + 1 == items.size() || (i + 1) % kBatch == 0) writer_.Appends();
  }
  return Status::Ok();
}

Status ObjectEncoder::Entries(const Value& value) {
  const auto& entries = value.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i % kBatch == 0) writer_.Mark();
    const ValuePtr& key = entries[i].first;
    if (key != nullptr && key->kind == ValueKind::kString && key->text.size() <= kInternedSize &&
        IsWtf8(key->text)) {
      writer_.InternedString(key->text);
    } else {
      DCP_RETURN_IF_ERROR(Child(key));
    }
    DCP_RETURN_IF_ERROR(Child(entries[i].second));
    if (i + 1 == entries.size() || (i + 1) % kBatch == 0) writer_.SetItems();
  }
  return Status::Ok();
}

Status ObjectEncoder::Tuple(const std::vector<ValuePtr>& items) {
  if (items.empty()) {
    writer_.EmptyTuple();
    return Status::Ok();
  }
  if (items.size() > 3) writer_.Mark();
  for (const ValuePtr& item : items) DCP_RETURN_IF_ERROR(Child(item));
  if (items.size() == 1) {
    writer_.Tuple1();
  } else if (items.size() == 2) {
    writer_.Tuple2();
  } else if (items.size() == 3) {
    writer_.Tuple3();
  } else {
    writer_.TupleFromMark();
  }
  return Status::Ok();
}

Status ObjectEncoder::Collection(std::string_view name, const std::vector<ValuePtr>& items) {
  Global(name);
  writer_.EmptyList();
  DCP_RETURN_IF_ERROR(Items(items));
  writer_.Tuple1();
  writer_.Reduce();
  return Status::Ok();
}

void ObjectEncoder::EmptyOrderedDict() {
  Global("collections.OrderedDict");
  writer_.EmptyTuple();
  writer_.Reduce();
}

Status ObjectEncoder::OrderedDict(const Value& value) {
  EmptyOrderedDict();
  DCP_RETURN_IF_ERROR(Entries(value));
  if (value.constructed != nullptr && value.constructed->state != nullptr) {
    DCP_RETURN_IF_ERROR(Child(value.constructed->state));
    writer_.Build();
  }
  return Status::Ok();
}

Status ObjectEncoder::Constructed(const Value& value) {
  const KnownGlobal* global =
      value.constructed == nullptr ? nullptr : FindKnownGlobal(value.constructed->global);
  if (global == nullptr) {
    return Error(Code::kInvalidArgument, "'{}' is not on the list of plain constructors",
                 value.constructed == nullptr ? "" : PrintableName(value.constructed->global));
  }
  Global(*global);
  const dcp::Constructed& constructed = *value.constructed;
  if (constructed.arguments == nullptr) return Status::Ok();
  if (constructed.arguments->kind != ValueKind::kTuple) {
    return Error(Code::kInvalidArgument, "the arguments of {} are not a tuple", global->FullName());
  }
  DCP_RETURN_IF_ERROR(Tuple(constructed.arguments->items));
  if (global->uses & kGlobalNew) {
    writer_.NewObject();
  } else {
    writer_.Reduce();
  }
  DCP_RETURN_IF_ERROR(Items(value.items));
  DCP_RETURN_IF_ERROR(Entries(value));
  if (constructed.state != nullptr) {
    DCP_RETURN_IF_ERROR(Child(constructed.state));
    writer_.Build();
  }
  return Status::Ok();
}

void ObjectEncoder::Global(const KnownGlobal& global) {
  WrittenGlobal name = WrittenName(global);
  writer_.Global(name.module, name.name);
}

void ObjectEncoder::Dims(dcp::Dims sizes) {
  if (sizes.empty()) return writer_.EmptyTuple();
  if (sizes.size() > 3) writer_.Mark();
  for (int64_t size : sizes) writer_.Int(size);
  if (sizes.size() == 1) return writer_.Tuple1();
  if (sizes.size() == 2) return writer_.Tuple2();
  if (sizes.size() == 3) return writer_.Tuple3();
  writer_.TupleFromMark();
}

// "cuda:0" is device('cuda', 0); what is not written so is left to torch as it stands.
void ObjectEncoder::Device(std::string_view name) {
  Global("torch.device");
  const size_t colon = std::min(name.find(':'), name.size());
  std::string_view digits = name.substr(std::min(colon + 1, name.size()));
  const bool number = !digits.empty() && digits.size() <= 9 &&
                      digits.find_first_not_of("0123456789") == std::string_view::npos &&
                      (digits[0] != '0' || digits.size() == 1);
  writer_.InternedString(number ? name.substr(0, colon) : name);
  if (number) {
    int64_t index = 0;
    for (char c : digits) index = index * 10 + (c - '0');
    writer_.Int(index);
    writer_.Tuple2();
  } else {
    writer_.Tuple1();
  }
  writer_.Reduce();
}

}  // namespace dcp
