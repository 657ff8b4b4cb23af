/* The bytes that benchmarks save, made from a seed and a place: whoever loads them can tell,
 * without a second copy, that each one is right. Random, so that no disk can squeeze them. Also
 * built as a library of its own, for Python. */
#ifndef DCP_BENCH_DRIVER_PAYLOAD_H_
#define DCP_BENCH_DRIVER_PAYLOAD_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_API __attribute__((visibility("default")))

/** Bytes [offset, offset + size) of payload `seed`; `offset` is a multiple of 8. */
BENCH_API void bench_payload_fill(void* memory, uint64_t size, uint64_t seed, uint64_t offset);
/** Where `memory` differs first from what bench_payload_fill would write there; `size` when it does
 *  not. */
BENCH_API uint64_t bench_payload_check(const void* memory, uint64_t size, uint64_t seed,
                                       uint64_t offset);

#ifdef __cplusplus
}
#endif
#endif /* DCP_BENCH_DRIVER_PAYLOAD_H_ */
