#include "reader/extract.h"

#include "reader/box_runs.h"

namespace dcp {

Status ExtractRead(const StoredTensor& stored, Bytes payload, const TensorRead& read,
                   DeviceCopier* copier) {
  if (read.dest.num_elements() == 0) return Status::Ok();
  if (auto runs = BoxRuns::Create(stored, read.storage_offsets, read.lengths)) {
    DCP_ASSIGN_OR_RETURN(Destination dest,
                         Destination::Create(runs->Reorder(read.dest), stored.dtype, copier));
    return runs->Extract(0, payload, dest);
  }
  DCP_ASSIGN_OR_RETURN(Destination dest, Destination::Create(read.dest, stored.dtype, copier));
  DCP_ASSIGN_OR_RETURN(Tensor box, Tensor::Allocate(stored.dtype, read.lengths));
  ExtractBox(stored, payload, read.storage_offsets, box);
  return dest.Put(box.data, 0, box.num_elements());
}

}  // namespace dcp
