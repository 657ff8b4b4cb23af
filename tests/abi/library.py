#!/usr/bin/env python3
"""Checks the built library: library.py <libdcp.so> <dcp.h>.

Its dynamic names are exactly those that dcp.h declares, its SONAME carries the ABI's major number,
and it needs neither torch nor Python.
"""

import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(library, header):
    text = re.sub(r"/\*.*?\*/", "", open(header, encoding="utf-8").read(), flags=re.DOTALL)
    declared = set(re.findall(r"DCP_API\b[^;(]*?\b(dcp_\w+)\s*\(", text))
    exported = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()}
    exported.discard("DCP_1")  # the version's own name
    abi = re.search(r"#define DCP_ABI_VERSION (\d+)", text).group(1)
    dynamic = run("readelf", "-d", library)
    soname = re.search(r"SONAME.*\[(.*)\]", dynamic).group(1)
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    # The names that ldd finds, without the addresses, which may hold any letters.
    linked = [line.split()[0].rsplit("/")[-1].lower() for line in run("ldd", library).splitlines() if line.split()]

    faults = [f"declared, not exported: {name}" for name in sorted(declared - exported)]
    faults += [f"exported, not declared: {name}" for name in sorted(exported - declared)]
    if len(declared) < 50:
        faults.append(f"only {len(declared)} declarations found in {header}: is the pattern right?")
    if soname != f"libdcp.so.{abi}":
        faults.append(f"SONAME {soname}, ABI {abi}")
    faults += [f"linked with {name}" for name in linked
               if any(part in name for part in ("torch", "c10", "python", "cuda", "mpi"))]
    for fault in faults:
        print(fault)
    print(f"{len(declared)} names declared and exported, SONAME {soname}, needs {', '.join(needed)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
