#include "ranklocal/barrier_registry.h"

#include <utility>
#include <vector>

#include "ranklocal/local_groups.h"
#include "value/names.h"

namespace dcp {
namespace {

// The arguments of one factory: each is taken once, and none may be left over.
class Arguments {
 public:
  Arguments(std::string_view barrier, const ValuePtr& given) : barrier_(barrier) {
    if (given != nullptr) entries_ = given->entries;
  }

  Result<std::string> Text(std::string_view name) {
    DCP_ASSIGN_OR_RETURN(const ValuePtr value, Take(name));
    if (value->kind == ValueKind::kString) return value->text;
    return Error(Code::kInvalidArgument, "barrier '{}': {} is a str, not {}", barrier_, name,
                 ToString(*value));
  }

  Result<int64_t> Integer(std::string_view name) {
    DCP_ASSIGN_OR_RETURN(const ValuePtr value, Take(name));
    int64_t number;
    if (value->kind == ValueKind::kInt && value->ToInt64(&number)) return number;
    return Error(Code::kInvalidArgument, "barrier '{}': {} is an int, not {}", barrier_, name,
                 ToString(*value));
  }

  Status CheckNoneLeft() const {
    if (entries_.empty()) return Status::Ok();
    return Error(Code::kInvalidArgument, "barrier '{}' takes no argument {}", barrier_,
                 ToString(*entries_.front().first));
  }

 private:
  Result<ValuePtr> Take(std::string_view name) {
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->first->kind != ValueKind::kString || entry->first->text != name) continue;
      ValuePtr value = entry->second;
      entries_.erase(entry);
      return value;
    }
    return Error(Code::kInvalidArgument, "barrier '{}' needs the argument '{}'", barrier_, name);
  }

  const std::string barrier_;
  std::vector<std::pair<ValuePtr, ValuePtr>> entries_;
};

Result<std::shared_ptr<Barrier>> MakeSingle(const ValuePtr& given) {
  DCP_RETURN_IF_ERROR(Arguments("single", given).CheckNoneLeft());
  return NewCommunicatorBarrier(NewSingleCommunicator());
}

Result<std::shared_ptr<Barrier>> MakeLocal(LocalGroups& groups, const ValuePtr& given) {
  Arguments arguments("local", given);
  DCP_ASSIGN_OR_RETURN(const std::string group, arguments.Text("group"));
  DCP_ASSIGN_OR_RETURN(const int64_t rank, arguments.Integer("global_rank"));
  DCP_ASSIGN_OR_RETURN(const int64_t world_size, arguments.Integer("global_world_size"));
  DCP_RETURN_IF_ERROR(arguments.CheckNoneLeft());
  return groups.Join(group, rank, world_size);
}

}  // namespace

BarrierRegistry::BarrierRegistry() {
  factories_.emplace("single", MakeSingle);
  factories_.emplace("local", [groups = std::make_shared<LocalGroups>()](const ValuePtr& given) {
    return MakeLocal(*groups, given);
  });
}

Status BarrierRegistry::Add(std::string name, Factory factory) {
  const std::lock_guard lock(mutex_);
  if (factories_.contains(name)) {
    return Error(Code::kAlreadyExists, "there is a barrier type '{}'", PrintableName(name));
  }
  factories_.emplace(std::move(name), std::move(factory));
  return Status::Ok();
}

Result<std::shared_ptr<Barrier>> BarrierRegistry::Make(std::string_view name,
                                                       const ValuePtr& arguments) const {
  if (arguments != nullptr && !arguments->is_mapping()) {
    return Error(Code::kInvalidArgument, "the arguments of a barrier are a dict, not {}",
                 ToString(*arguments));
  }
  Factory factory;
  {
    const std::lock_guard lock(mutex_);
    const auto found = factories_.find(name);
    if (found == factories_.end()) {
      std::vector<std::string> known;
      for (const auto& [type, make] : factories_) {
        known.push_back("'" + PrintableName(type) + "'");
      }
      return Error(Code::kInvalidArgument, "Unknown barrier type: {}. Available types: [{}]",
                   PrintableName(name), fmt::join(known, ", "));
    }
    factory = found->second;
  }
  return factory(arguments);
}

}  // namespace dcp
