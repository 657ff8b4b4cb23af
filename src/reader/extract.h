// From a payload in memory to a target, for every kind of dense tensor.
#ifndef DCP_READER_EXTRACT_H_
#define DCP_READER_EXTRACT_H_

#include "reader/reader.h"

namespace dcp {

// `payload` is the whole record, inflated.
Status ExtractRead(const StoredTensor& stored, Bytes payload, const TensorRead& read,
                   DeviceCopier* copier);

}  // namespace dcp

#endif  // DCP_READER_EXTRACT_H_
