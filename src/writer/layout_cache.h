// Layouts of the last few kinds of tensor: a model has thousands of tensors and few shapes.
#ifndef DCP_WRITER_LAYOUT_CACHE_H_
#define DCP_WRITER_LAYOUT_CACHE_H_

#include <algorithm>
#include <array>
#include <memory>

#include "tensorio/tensor_item.h"

namespace dcp {

struct StoredForm {
  Shape strides;  // StoredStrides of the tensor
  TensorItemLayout layout;
};

// One thread. What Get returns stays valid until the next call.
class LayoutCache {
 public:
  explicit LayoutCache(bool block_checksums) : block_checksums_(block_checksums) {}

  Result<const StoredForm*> Get(const Tensor& tensor) {
    auto found = std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& kind) {
      return kind.form && kind.dtype == tensor.dtype && kind.shape == tensor.shape &&
             kind.strides == tensor.strides;
    });
    if (found == kinds_.end()) {
      Shape strides = StoredStrides(tensor);
      DCP_ASSIGN_OR_RETURN(
          TensorItemLayout layout,
          TensorItemLayout::Create(tensor.dtype, tensor.shape, strides, block_checksums_));
      found = kinds_.end() - 1;
      *found = {tensor.dtype, tensor.shape, tensor.strides,
                std::make_unique<StoredForm>(StoredForm{std::move(strides), std::move(layout)})};
    }
    std::rotate(kinds_.begin(), found, found + 1);
    return kinds_.front().form.get();
  }

 private:
  struct Kind {
    DType dtype = DType::kFloat32;
    Shape shape;
    Shape strides;  // in memory
    std::unique_ptr<StoredForm> form;
  };
  const bool block_checksums_;
  std::array<Kind, 16> kinds_;  // last used first
};

}  // namespace dcp

#endif  // DCP_WRITER_LAYOUT_CACHE_H_
