// numpy's arrays and scalars in a pickle graph.
#ifndef DCP_TENSORIO_NUMPY_OBJECTS_H_
#define DCP_TENSORIO_NUMPY_OBJECTS_H_

#include <optional>
#include <string_view>

#include "base/dtype.h"
#include "pickle/graph.h"
#include "value/tensor.h"

namespace dcp {

// Bytes in any of the forms that pickles have for them: bytes, a bytearray, or a string that
// _codecs.encode takes back to latin1. Nothing when it is something else.
std::optional<std::string> ReadBytes(const pickle::Graph& graph, pickle::NodeId node);

// numpy's names of the types that torch has too ("f4"), and back; big-endian, structured and other
// types have none.
std::optional<DType> DTypeFromNumpy(std::string_view name);
std::string_view NumpyName(DType dtype);  // empty: numpy has no such type

// Each of these gives nothing for arrays of other types, which are kept as constructed values, and
// kCorrupt when bytes and shape do not fit.
// _reconstruct(ndarray, (0,), b'b') with state (1, shape, dtype, fortran order, bytes).
Result<std::optional<Tensor>> ReadNumpyArray(const pickle::Graph& graph, pickle::NodeId node);
// scalar(dtype, bytes)
Result<std::optional<Tensor>> ReadNumpyScalar(const pickle::Graph& graph, pickle::NodeId node);
// _frombuffer(bytes, dtype, shape, order), which protocol 5 uses.
Result<std::optional<Tensor>> ReadNumpyBuffer(const pickle::Graph& graph, pickle::NodeId node);

}  // namespace dcp

#endif  // DCP_TENSORIO_NUMPY_OBJECTS_H_
