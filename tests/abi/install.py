#!/usr/bin/env python3
"""Installs a build into a fresh prefix and builds examples/c from there, as a user would: once with
find_package(dcp), once with pkg-config. install.py <build folder> <source folder> <cmake> <cc>
"""

import os
import pathlib
import subprocess
import sys
import tempfile


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def main(build, source, cmake, cc):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        prefix = folder / "prefix"
        run(cmake, "--install", build, "--prefix", prefix)
        library = next(prefix.rglob("libdcp.so"))
        config = next(prefix.rglob("dcp.pc")).parent

        run(cmake, "-S", f"{source}/examples/c", "-B", folder / "cmake", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_C_COMPILER={cc}")
        run(cmake, "--build", folder / "cmake")
        print(run(folder / "cmake" / "save_load", folder / "by_cmake").strip())

        environment = {**os.environ, "PKG_CONFIG_PATH": str(config)}
        flags = run("pkg-config", "--cflags", "--libs", "dcp", env=environment).split()
        program = folder / "save_load"
        run(cc, "-std=c99", "-Wall", "-Werror", f"{source}/examples/c/save_load.c", "-o", program, *flags,
            f"-Wl,-rpath,{library.parent}")
        print(run(program, folder / "by_pkg_config").strip())

        dcpctl = prefix / "bin" / "dcpctl"
        if dcpctl.exists():
            print(run(dcpctl, "verify", folder / "by_cmake").strip())
            run(dcpctl, "diff", folder / "by_cmake", folder / "by_pkg_config")


if __name__ == "__main__":
    main(*sys.argv[1:])
