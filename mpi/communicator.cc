#include <exception>
#include <memory>
#include <new>

#include "dcp/mpi.h"
#include "endpoint.h"
#include "failure.h"

namespace dcp_mpi {
namespace {

// Runs a callback's body: nothing unwinds into the library.
template <typename Body>
dcp_status Guard(dcp_error** error, const Body& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return DCP_OUT_OF_MEMORY;
  } catch (const std::exception& problem) {
    if (error != nullptr) *error = dcp_error_new(DCP_INTERNAL, problem.what());
    return DCP_INTERNAL;
  }
}

dcp_status Send(void* user_data, int32_t to, const void* data, size_t size, int64_t,
                dcp_error** error) {
  return Guard(error,
               [&] { return static_cast<Endpoint*>(user_data)->Send(to, data, size, error); });
}

dcp_status Receive(void* user_data, int32_t from, int64_t timeout_ms, dcp_buffer_sink give,
                   void* sink, dcp_error** error) {
  return Guard(error, [&] {
    std::string bytes;
    const dcp_status status =
        static_cast<Endpoint*>(user_data)->Receive(from, timeout_ms, &bytes, error);
    if (status == DCP_OK) give(sink, from, bytes.data(), bytes.size());
    return status;
  });
}

void Destroy(void* user_data) { delete static_cast<Endpoint*>(user_data); }

dcp_status CheckMpi(MPI_Comm comm, dcp_error** error) {
  int begun = 0;
  int over = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&over);
  if (begun == 0 || over != 0) {
    return Fail(DCP_INVALID_ARGUMENT, "MPI is not initialised, or finalised already", error);
  }
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (level != MPI_THREAD_MULTIPLE) {
    return Fail(DCP_UNSUPPORTED,
                "MPI was not initialised with MPI_THREAD_MULTIPLE: call MPI_Init_thread", error);
  }
  int inter = 0;
  if (comm == MPI_COMM_NULL || MPI_Comm_test_inter(comm, &inter) != MPI_SUCCESS || inter != 0) {
    return Fail(DCP_INVALID_ARGUMENT, "comm is no intracommunicator", error);
  }
  return DCP_OK;
}

}  // namespace
}  // namespace dcp_mpi

extern "C" dcp_status dcp_mpi_communicator(MPI_Comm comm, int64_t timeout_ms,
                                           dcp_communicator** out, dcp_error** error) {
  if (error != nullptr) *error = nullptr;
  return dcp_mpi::Guard(error, [&] {
    if (out == nullptr) return dcp_mpi::Fail(DCP_INVALID_ARGUMENT, "out is NULL", error);
    *out = nullptr;
    dcp_status status = dcp_mpi::CheckMpi(comm, error);
    if (status != DCP_OK) return status;
    std::unique_ptr<dcp_mpi::Endpoint> endpoint;
    status = dcp_mpi::Endpoint::Open(comm, timeout_ms, &endpoint, error);
    if (status != DCP_OK) return status;
    dcp_message_table table = {};
    table.struct_size = sizeof table;
    table.send = dcp_mpi::Send;
    table.receive = dcp_mpi::Receive;
    table.destroy = dcp_mpi::Destroy;
    const int rank = endpoint->rank();
    const int size = endpoint->size();
    return dcp_communicator_from_messages(&table, endpoint.release(), rank, size, out, error);
  });
}
