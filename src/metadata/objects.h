// Python objects in a pickle graph: class, constructor arguments, state, fields.
#ifndef DCP_METADATA_OBJECTS_H_
#define DCP_METADATA_OBJECTS_H_

#include <span>
#include <string>
#include <string_view>

#include "pickle/graph.h"

namespace dcp {

// An instance as any protocol writes it: NEWOBJ, copyreg's _reconstructor or __newobj__ (protocols
// 0 and 1), or a call of the class. `type` is kNoNode when the node is no instance.
struct ObjectView {
  pickle::NodeId type = pickle::kNoNode;  // a kGlobal
  std::span<const pickle::NodeId> arguments;
  pickle::NodeId state = pickle::kNoNode;
  explicit operator bool() const { return type != pickle::kNoNode; }
};

ObjectView ViewObject(const pickle::Graph& graph, pickle::NodeId node);
// True for an instance of a class of this name, whatever its module.
bool IsInstance(const pickle::Graph& graph, const ObjectView& object, std::string_view name);

// Field of an instance whose state is a dict (or a pair of dicts, for classes with slots): the
// last one of that name, else kNoNode; kNoNode too when there are more than 256 fields.
pickle::NodeId Field(const pickle::Graph& graph, const ObjectView& object, std::string_view name);

// Key, value, key, value ... of a dict or of an OrderedDict and its like.
struct MappingView {
  bool valid = false;
  std::span<const pickle::NodeId> pairs;
};
MappingView ViewMapping(const pickle::Graph& graph, pickle::NodeId node);

bool IsNone(const pickle::Graph& graph, pickle::NodeId node);      // or kNoNode
bool IsSequence(const pickle::Graph& graph, pickle::NodeId node);  // tuple or list

// What a node is, in a few words for messages: "torch.save(...)", "a list", "an integer".
std::string Describe(const pickle::Graph& graph, pickle::NodeId node);

}  // namespace dcp

#endif  // DCP_METADATA_OBJECTS_H_
