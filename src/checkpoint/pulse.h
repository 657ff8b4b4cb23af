// Progress as a sign of life: a rank that still writes or reads says so to the others.
#ifndef DCP_CHECKPOINT_PULSE_H_
#define DCP_CHECKPOINT_PULSE_H_

#include "base/observer.h"
#include "checkpoint/agreement.h"

namespace dcp {

class Pulse final : public ProgressSink {
 public:
  // `sink`, which may be null, is told as before.
  Pulse(Agreement* agreement, ProgressSink* sink) : agreement_(*agreement), sink_(sink) {}

  Status Update(const ProgressEvent& event) override {
    agreement_.StillHere();
    return sink_ == nullptr ? Status::Ok() : sink_->Update(event);
  }

 private:
  Agreement& agreement_;
  ProgressSink* const sink_;
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_PULSE_H_
