// Which object a Folder may take, and what goes from the arena with it.
#ifndef DCP_PICKLE_FOLDS_H_
#define DCP_PICKLE_FOLDS_H_

#include <algorithm>

#include "pickle/builder.h"

namespace dcp::pickle {

// At most one object is open: the last wanted one, from its making until it gets its state. What
// is made meanwhile has higher numbers than it, and goes when it is folded, but for what the rest
// of the machine can still reach. That is known without looking at the graph: an older node, or
// the stack below the object, can come to hold a newer node only by being changed, and to be
// changed it must lie on top of the stack, where only the memo or DUP can bring it. So
//   Share(node)   everything made so far stays, and `node` itself is not folded, nor what it may be
//                 the state of, since it can still be changed;
//   Change(node)  `node` has got more children: if it stays, everything made so far stays.
// Nothing made before the open object ever goes, since the one open before it is given up.
class Folds {
 public:
  // `folder` may be null.
  Folds(Folder* folder, const Graph& graph, Builder* build)
      : folder_(folder), graph_(graph), build_(*build) {
    nodes_stay_ = build_.node_count();
  }

  // `made` will lie at `place` on the stack.
  void Open(NodeId made, NodeId callee, size_t place) {
    if (folder_ == nullptr) return;
    const uint32_t what = folder_->Wants(graph_, callee);
    if (what == 0) return;
    what_ = what;
    object_ = made;
    place_ = place;
    links_ = build_.link_count();
  }

  // The object at `place` gets its state: true when it was folded instead.
  bool Close(NodeId object, NodeId state, size_t place) {
    if (object != object_ || place != place_) return false;
    object_ = kNoNode;
    uint32_t row = 0;
    if (!folder_->Fold(graph_, what_, object, state, &row)) return false;
    if (!build_.SetFolded(object, row)) return false;
    build_.Truncate(std::max<size_t>(size_t{object} + 1, nodes_stay_),
                    std::max(links_, links_stay_));
    return true;
  }

  // Likewise for an object just opened whose state is plain.
  bool ClosePlain(NodeId object, const PlainState& state) {
    uint32_t row = 0;
    if (!folder_->FoldPlain(graph_, what_, object, state, &row)) return false;
    if (!build_.SetFolded(object, row)) return false;
    object_ = kNoNode;
    return true;
  }
  bool IsOpen(NodeId object) const { return object == object_; }

  void Share(NodeId node) {
    if (node == object_ || (object_ != kNoNode && build_.kind(node) == NodeKind::kDict)) {
      object_ = kNoNode;
    }
    StayAll();
  }
  void Change(NodeId node) {
    if (node < nodes_stay_) StayAll();
  }

 private:
  void StayAll() {
    nodes_stay_ = build_.node_count();
    links_stay_ = build_.link_count();
  }

  Folder* const folder_;
  const Graph& graph_;
  Builder& build_;
  NodeId object_ = kNoNode;
  uint32_t what_ = 0;
  size_t place_ = 0;
  size_t links_ = 0;       // when it was made
  size_t nodes_stay_ = 0;  // nodes and links before these stay
  size_t links_stay_ = 0;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_FOLDS_H_
