/* A save with a rank that dies, stops or comes late at one place of it: what programs of
 * lost_rank.py do when they have a communicator. */
#ifndef DCP_TESTS_LOST_RANK_DOOMED_SAVE_H_
#define DCP_TESTS_LOST_RANK_DOOMED_SAVE_H_

#include "dcp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DOOMED_SAVE_ARGUMENTS = 5 };

/* `arguments`: <folder> <rank> <phase> <what> <timeout ms>
 *
 * phase: start (before the save), plan, write or commit (of the coordinator: when its own data are
 * written). what: kill, stop or late. Each survivor prints one line of JSON: its rank, how the save
 * ended, which ranks were named, and after how many milliseconds. Not 0 when it cannot begin. */
int doomed_save(dcp_communicator* comm, char** arguments);

#ifdef __cplusplus
}
#endif

#endif /* DCP_TESTS_LOST_RANK_DOOMED_SAVE_H_ */
