#include "c_api/state_dict.h"

#include "c_api/tensor.h"
#include "c_api/value.h"
#include "value/names.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::Value;
using dcp::ValuePtr;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

void dcp_state_dict::Set(std::string_view name, ValuePtr value) {
  if (shared_.exchange(false)) dict_ = std::make_shared<Value>(*dict_);
  auto& entries = dict_->entries;
  const uint64_t hash = dcp::SeededHash(name);
  const auto is_name = [&](uint32_t id) { return entries[id].first->text == name; };
  const uint32_t there = index_.Find(hash, is_name);
  if (there != dcp::IdTable::kNone) {
    entries[there].second = std::move(value);
    return;
  }
  // In this order nothing is half done when memory runs out.
  const auto id = static_cast<uint32_t>(entries.size());
  index_.Reserve(entries.size() + 1);
  entries.emplace_back(Value::String(std::string(name)), std::move(value));
  index_.FindOrAdd(hash, id, is_name);
}

ValuePtr dcp_state_dict::ToValue() const {
  shared_ = true;
  return dict_;
}

namespace {

Status Set(dcp_state_dict* state, const char* name, size_t name_size, ValuePtr value) {
  if (name == nullptr && name_size > 0) return Error(Code::kInvalidArgument, "name is NULL");
  std::string_view key(name == nullptr ? "" : name, name_size);
  if (!dcp::IsWtf8(key)) {
    return Error(Code::kInvalidArgument,
                 "the name '{}' is not UTF-8 (lone surrogates may stand as three bytes)",
                 dcp::PrintableName(key));
  }
  state->Set(key, std::move(value));
  return Status::Ok();
}

}  // namespace

extern "C" {

dcp_status dcp_state_dict_new(dcp_state_dict** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    *out = new dcp_state_dict;
    return Status::Ok();
  });
}

dcp_status dcp_state_dict_set(dcp_state_dict* state, const char* name, size_t name_size,
                              const dcp_value* value, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    DCP_RETURN_IF_ERROR(CheckHandle(value, "value"));
    return Set(state, name, name_size, value->value);
  });
}

dcp_status dcp_state_dict_set_tensor(dcp_state_dict* state, const char* name, size_t name_size,
                                     const dcp_tensor_view* view, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    auto tensor = dcp::c_api::TensorOf(view, nullptr);
    if (!tensor.ok()) {
      std::string_view text(name == nullptr ? "" : name, name == nullptr ? 0 : name_size);
      return tensor.status().WithContext(fmt::format("tensor '{}'", dcp::PrintableName(text)));
    }
    return Set(state, name, name_size, Value::Of(*std::move(tensor)));
  });
}

size_t dcp_state_dict_count(const dcp_state_dict* state) {
  return state == nullptr || state->forked() ? 0 : state->entries().size();
}

dcp_status dcp_state_dict_at(const dcp_state_dict* state, size_t index, const char** name,
                             size_t* name_size, dcp_value** value, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (value != nullptr) *value = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    const auto& entries = state->entries();
    if (index >= entries.size()) {
      return Error(Code::kInvalidArgument, "index {} of a state dict of {}", index, entries.size());
    }
    const auto& [key, held] = entries[index];
    if (value != nullptr) *value = new dcp_value(held);
    if (name != nullptr) *name = key->text.c_str();
    if (name_size != nullptr) *name_size = key->text.size();
    return Status::Ok();
  });
}

void dcp_state_dict_free(dcp_state_dict* state) { dcp::c_api::Free(state); }

}  // extern "C"
