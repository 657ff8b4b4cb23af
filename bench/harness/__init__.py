"""The benchmarks of libdcp: `scripts/bench.sh` runs this package.

cli        what was asked for, and the sequence of a run
benchmarks one file for each benchmark: which subjects, and what is claimed of them
session    what benchmarks share: processes, layouts, files, sizes
alternate  runs subjects in turns
series     samples, and when a ratio of two series may be told
worker     the other side of a Python subject: one forked process a run
peers      the work itself, one file for each library
"""
