#include "c_api/rank_reader.h"

#include <algorithm>

#include "c_api/storage.h"
#include "c_api/value.h"
#include "value/names.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::Value;
using dcp::ValueKind;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

struct dcp_rank_reader : dcp::c_api::Handle {
  explicit dcp_rank_reader(int32_t of) : rank(of) {}
  const int32_t rank;
};

namespace dcp::c_api {
namespace {

constexpr size_t kMostNamed = 10;

Status MissingError(std::string_view location, const std::vector<std::string>& missing) {
  std::string names;
  for (size_t i = 0; i < std::min(missing.size(), kMostNamed); ++i) {
    names += fmt::format("{}'{}'", i == 0 ? "" : ", ", PrintableName(missing[i]));
  }
  if (missing.size() > kMostNamed) {
    names += fmt::format(", and {} more", missing.size() - kMostNamed);
  }
  return Error(Code::kMismatch, "Checkpoint at {} is missing keys: [{}]", location, names);
}

ValuePtr ListOf(const std::vector<std::string>& names) {
  std::vector<ValuePtr> items;
  items.reserve(names.size());
  for (const std::string& name : names) items.push_back(Value::String(name));
  return Value::Sequence(ValueKind::kList, std::move(items));
}

}  // namespace

Status ReadRank(int32_t rank, const dcp_storage* storage, const dcp_value* target, bool strict,
                dcp_value** out, dcp_value** missing) {
  if (missing != nullptr) *missing = nullptr;
  DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
  *out = nullptr;
  DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
  PartialRead read;
  if (target == nullptr) {
    DCP_ASSIGN_OR_RETURN(read.state, ReadRankFile(*storage->store, rank));
  } else {
    DCP_RETURN_IF_ERROR(CheckHandle(target, "target"));
    DCP_ASSIGN_OR_RETURN(read, ReadRankFileInto(*storage->store, rank, target->value));
  }
  if (strict && !read.missing.empty()) return MissingError(storage->location, read.missing);
  auto state = std::make_unique<dcp_value>(std::move(read.state));
  if (missing != nullptr) *missing = new dcp_value(ListOf(read.missing));
  *out = state.release();
  return Status::Ok();
}

}  // namespace dcp::c_api

extern "C" {

dcp_status dcp_rank_reader_new(int32_t rank, int32_t world_size, dcp_rank_reader** out,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    if (world_size < 1 || rank < 0 || rank >= world_size) {
      return Error(Code::kInvalidArgument, "rank {} of {}", rank, world_size);
    }
    *out = new dcp_rank_reader(rank);
    return Status::Ok();
  });
}

dcp_status dcp_rank_reader_read(const dcp_rank_reader* reader, const dcp_storage* storage,
                                const dcp_value* target, dcp_value** out, dcp_value** missing,
                                dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(reader, "reader"));
    return dcp::c_api::ReadRank(reader->rank, storage, target, false, out, missing);
  });
}

void dcp_rank_reader_free(dcp_rank_reader* reader) { dcp::c_api::Free(reader); }

}  // extern "C"
