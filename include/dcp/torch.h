/* dcp/torch.h - ranks that talk over what a torch job has already: libdcp_torch.so, built on dcp.h
 * and libtorch, and on nothing else of libdcp. These are the entries for C and whatever calls C
 * (ctypes); dcp/torch.hpp has those for C++ programs on libtorch. */
#ifndef DCP_TORCH_H
#define DCP_TORCH_H

#include <dcp.h>

#if defined(DCP_STATIC)
#define DCP_TORCH_API
#else
#define DCP_TORCH_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** The torch that the library was built for, "2.15". Static. */
DCP_TORCH_API const char *dcp_torch_version(void);
/** DCP_UNSUPPORTED when the libtorch of this process is of another minor version: its classes may
 *  lie differently in memory. Every call of the library looks first, and does nothing else then. */
DCP_TORCH_API dcp_status dcp_torch_check(dcp_error **error);

/* Communicators. Those of one group are made by all its ranks with the same `prefix`, each for
 * itself; nobody waits for the others. What they send one another lies in the store for a moment,
 * in values of up to 4 MiB that are deleted when they are read; each key begins with the prefix.
 *
 * They work on a connection of their own, a clone of the store's, and on a thread that can be left
 * behind: a save in the background never holds up the program's use of the store, and a store that
 * does not answer holds up no call for a second longer than its timeout.
 *
 * `prefix`: this group's own, and never used in the store before: "libdcp/" and a number, say.
 * `host_rank`: the rank of this group whose process hosts the store. It is named when the store is
 *   lost (DCP_RANK_FAILED) or does not answer in time (DCP_TIMEOUT), and must not end before all
 *   ranks are through. -1: none of them hosts it, as under torchrun, whose agent does. What is
 *   named then are the ranks that were waited for, with DCP_IO.
 * `timeout_ms`: for the connection; negative: for ever.
 * *out is [owned]. A store that answers again is used again. */

/** Of the ranks of the process group that this process knows under `group_name`
 *  (torch.distributed.ProcessGroup.group_name), over its store. The group's own sends and receives
 *  are not used, whatever the size: gloo closes the whole group when one is given up, and NCCL has
 *  none for memory of the host. */
DCP_TORCH_API dcp_status dcp_torch_communicator_from_group_name(
    const char *group_name, const char *prefix, int32_t host_rank, int64_t timeout_ms,
    dcp_communicator **out, dcp_error **error);

/** Over the TCPStore that listens there, as a client more. */
DCP_TORCH_API dcp_status dcp_torch_communicator_from_tcp_store(
    const char *host, uint16_t port, const char *prefix, int32_t rank, int32_t world_size,
    int32_t host_rank, int64_t timeout_ms, dcp_communicator **out, dcp_error **error);

#ifdef __cplusplus
}
#endif

#endif /* DCP_TORCH_H */
