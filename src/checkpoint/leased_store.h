// A store that takes no more changes when a lease is over.
#ifndef DCP_CHECKPOINT_LEASED_STORE_H_
#define DCP_CHECKPOINT_LEASED_STORE_H_

#include <memory>

#include "checkpoint/lease.h"
#include "storage/store.h"

namespace dcp {

// Borrows both. Whatever writes, renames, removes or makes fails with kTimeout then, whatever reads
// does not. Between the look at the lease and the change is a moment that nothing can close; what
// is made in it has a name of its own (docs/architecture.md, "Commit").
std::unique_ptr<Store> NewLeasedStore(Store* store, const Lease* lease);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_LEASED_STORE_H_
