// Layouts of the last few kinds of tensor: a model has thousands of tensors and few shapes.
#ifndef DCP_WRITER_LAYOUT_CACHE_H_
#define DCP_WRITER_LAYOUT_CACHE_H_

#include <algorithm>
#include <array>
#include <memory>

#include "tensorio/tensor_item.h"

namespace dcp {

// One thread. What Get returns stays valid until the next call.
class LayoutCache {
 public:
  explicit LayoutCache(bool block_checksums) : block_checksums_(block_checksums) {}

  Result<const TensorItemLayout*> Get(DType dtype, const Shape& shape, const Shape& strides) {
    auto found = std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& kind) {
      return kind.layout && kind.dtype == dtype && kind.shape == shape && kind.strides == strides;
    });
    if (found == kinds_.end()) {
      DCP_ASSIGN_OR_RETURN(TensorItemLayout layout,
                           TensorItemLayout::Create(dtype, shape, strides, block_checksums_));
      found = kinds_.end() - 1;
      *found = {dtype, shape, strides, std::make_unique<TensorItemLayout>(std::move(layout))};
    }
    std::rotate(kinds_.begin(), found, found + 1);
    return kinds_.front().layout.get();
  }

 private:
  struct Kind {
    DType dtype = DType::kFloat32;
    Shape shape;
    Shape strides;
    std::unique_ptr<TensorItemLayout> layout;
  };
  const bool block_checksums_;
  std::array<Kind, 16> kinds_;  // last used first
};

}  // namespace dcp

#endif  // DCP_WRITER_LAYOUT_CACHE_H_
