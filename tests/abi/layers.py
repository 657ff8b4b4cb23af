#!/usr/bin/env python3
"""Checks the rooms of src/ against the layers that src/CMakeLists.txt declares.

A room may include its own headers, those of the rooms it names in DEPS and of the rooms these
name. The rooms in DEPS stand on earlier lines, so there are no cycles. Only c_api sees dcp.h, and
cli sees dcp.h and itself alone.

And one name is one type: two headers that define a type of the same name in the same namespace make a
program that links and crashes.
"""

import pathlib
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
ROOM = re.compile(r"^dcp_room\((\w+)(?:\s+DEPS\s+([\w\s]+?))?(?:\s+LINK\s+[^)]*)?\)", re.MULTILINE)


def declared_rooms(root, faults):
    """Room -> all rooms below it."""
    below = {}
    for room, deps in ROOM.findall((root / "src/CMakeLists.txt").read_text()):
        below[room] = set()
        for dep in deps.split():
            if dep not in below:
                faults.append(f"src/CMakeLists.txt: {room} depends on {dep}, which is no earlier line")
                continue
            below[room] |= {dep} | below[dep]
    return below


def types_of(path):
    """(namespace, name) of the types that a header defines outside of other types."""
    namespace = ""
    for line in path.read_text(errors="replace").splitlines():
        if opened := re.match(r"namespace (\S+) \{", line):
            namespace = opened.group(1)
        if defined := re.match(r"(?:struct|class|union|enum class|enum) (\w+)[^;]*\{", line):
            yield namespace, defined.group(1)


def check_types(root, faults):
    seen = {}
    for path in sorted((root / "src").rglob("*.h")):
        for name in types_of(path):
            where = path.relative_to(root)
            if name in seen:
                faults.append(f"{where}: {'::'.join(name)} is a type of {seen[name]} too")
            seen.setdefault(name, where)
    return len(seen)


def check(root):
    """(faults, rooms, sources, includes between rooms)."""
    faults = []
    below = declared_rooms(root, faults)
    folders = {path.name for path in (root / "src").iterdir() if path.is_dir()}
    for name in sorted(folders - set(below) - {"cli"}):
        faults.append(f"src/{name}: no dcp_room line in src/CMakeLists.txt")
    for name in sorted(set(below) - folders):
        faults.append(f"src/CMakeLists.txt: room {name} has no folder")
    allowed = {room: {room} | rooms for room, rooms in below.items()}
    allowed["cli"] = {"cli"}
    sources = 0
    includes = 0
    for room in sorted(folders & set(allowed)):
        for path in sorted((root / "src" / room).rglob("*")):
            if path.suffix not in (".cc", ".h"):
                continue
            sources += 1
            where = path.relative_to(root)
            for quoted, angled in INCLUDE.findall(path.read_text(errors="replace")):
                name = quoted or angled
                first = name.split("/")[0]
                if name == "dcp.h":
                    if room not in ("c_api", "cli"):
                        faults.append(f"{where}: includes dcp.h; only c_api and cli may")
                elif first in allowed:
                    includes += 1
                    if first not in allowed[room]:
                        faults.append(f"{where}: includes {name}, and {first} is not below {room}")
                elif quoted:
                    faults.append(f'{where}: includes "{name}", which names no room')
    check_types(root, faults)
    return faults, len(below), sources, includes


def self_test():
    """The check must find each kind of break in a small tree of its own."""
    good = {"src/CMakeLists.txt": "dcp_room(low)\ndcp_room(side)\ndcp_room(high DEPS low LINK x::y)\n",
            "src/low/a.h": "", "src/side/a.h": "", "src/high/a.cc": '#include "low/a.h"\n#include <vector>\n'}
    breaks = {
        "upwards": {"src/low/b.cc": '#include "high/a.h"\n'},
        "sideways": {"src/side/b.h": '#include "low/a.h"\n'},
        "not in DEPS": {"src/high/b.cc": '# include "side/a.h"\n'},
        "cycle": {"src/CMakeLists.txt": "dcp_room(low DEPS high)\ndcp_room(side)\ndcp_room(high DEPS low)\n"},
        "header of the ABI": {"src/low/c.cc": '#include <dcp.h>\n'},
        "unknown room": {"src/extra/a.cc": ""},
        "one name, two types": {"src/high/b.h": "namespace x {\nstruct T {\n", "src/low/b.h": "namespace x {\nclass T : U {\n"},
        "cli below the ABI": {"src/cli/a.cc": '#include "low/a.h"\n'},
    }
    for name, changed in [("", {}), *breaks.items()]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in {**good, **changed}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            faults = check(root)[0]
            if bool(faults) != bool(name):
                sys.exit(f"self-test: {name or 'a good tree'}: faults {faults}")
    print(f"self-test: {len(breaks)} kinds of break found")


def main():
    if "--self-test" in sys.argv:
        self_test()
    faults, rooms, sources, includes = check(pathlib.Path(__file__).resolve().parents[2])
    for fault in faults:
        print(fault)
    print(f"{rooms} rooms, {sources} sources, {includes} includes between rooms, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
