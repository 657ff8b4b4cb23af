"""Makes the planning, file and coordination code of torch.distributed.checkpoint fail when it is
entered, to show that none of it runs behind libdcp.torch.

    poison.install()                            in a program: how many functions are poisoned now
    python tests/drop_in/poison.py SCRIPT ...   a program and all Python processes that it starts

What is poisoned is found by introspection: every function whose code stands in the file of one of
MODULES, under whatever decorators, as a function of the module or in a class of it (methods,
properties, class methods, static methods, nested classes). What dataclasses generate has no code in
the file: the two dataclasses there, _StorageInfo and _StoragePrefix, are records that travel between
both sides, and stay usable. The code of the function objects themselves is replaced, so that names
that were imported elsewhere before are poisoned too.
"""

import functools
import importlib
import importlib.abc
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import types

STOCK = "torch.distributed.checkpoint"
MODULES = [
    "default_planner",
    "planner_helpers",
    "filesystem",
    "_fsspec_filesystem",
    "fsspec_filesystem",  # from 2.14 on
    "resharding",
    "_dedup_save_plans",
    "_nested_dict",
    "_traverse",
    "state_dict_saver",
    "state_dict_loader",
]
CLASSES = {"utils": ["_DistWrapper"]}  # of these modules these classes alone
LOG = "DCP_POISON_LOG"  # a file that is told what was poisoned and what was entered


class Poisoned(BaseException):
    """Not an Exception: nobody is to catch it by the way."""


def tell(word):
    if os.environ.get(LOG):
        with open(os.environ[LOG], "a") as log:
            log.write(f"{word}\n")


def entered(name):
    tell(f"entered {name}")
    raise Poisoned(f"{name} was entered")


# ---- what there is ----


def functions():
    """By name the functions to be poisoned."""
    found = {}
    for name in [*MODULES, *CLASSES]:
        full = f"{STOCK}.{name}"
        if importlib.util.find_spec(full) is None:
            continue
        module = importlib.import_module(full)
        for attribute, value in vars(module).items():
            if attribute in CLASSES.get(name, [attribute]):
                look_into(value, f"{full}.{attribute}", module, found)
    return found


def look_into(value, name, module, found):
    if isinstance(value, type):
        if value.__module__ == module.__name__ and value not in found.values():
            for attribute, below in vars(value).items():
                if below is not value:
                    look_into(below, f"{name}.{attribute}", module, found)
    elif isinstance(value, property):
        for part in ("fget", "fset", "fdel"):
            look_into(getattr(value, part), f"{name}.{part}", module, found)
    elif isinstance(value, (classmethod, staticmethod)):
        look_into(value.__func__, name, module, found)
    elif isinstance(value, (functools.partial, functools.cached_property, functools.partialmethod)):
        look_into(value.func, name, module, found)
    elif isinstance(value, types.FunctionType):
        for function in beneath(value):
            if function.__code__.co_filename == module.__file__ and function not in found.values():
                found[name if name not in found else f"{name} ({function.__qualname__})"] = function


def beneath(function, seen=None):
    """The function, what it decorates, and functions that it keeps."""
    seen = [] if seen is None else seen
    if function in seen:
        return seen
    seen.append(function)
    kept = [cell.cell_contents for cell in function.__closure__ or () if not is_empty(cell)]
    for below in [getattr(function, "__wrapped__", None), *kept]:
        if isinstance(below, types.FunctionType):
            beneath(below, seen)
    return seen


def is_empty(cell):
    try:
        cell.cell_contents
    except ValueError:
        return True
    return False


# ---- the poison ----


def poisoned_code(name, names_kept):
    """Code that tells its name and raises, for a function with that many names of its surroundings."""
    kept = [f"kept{number}" for number in range(names_kept)]
    source = (
        f"def around({', '.join(kept)}):\n"
        f"    def poisoned(*args, **kwargs):\n"
        f"        __import__('sys').modules['libdcp_poison'].entered({name!r})\n"
        f"        {', '.join(kept) or 'pass'}\n"
        f"    return poisoned\n"
    )
    scope = {}
    exec(compile(source, "<poison>", "exec"), scope)
    return scope["around"](*kept).__code__


def install():
    """Poisons this process for good. Returns how many functions are poisoned."""
    sys.modules["libdcp_poison"] = sys.modules[__name__]
    found = functions()
    for name, function in found.items():
        function.__code__ = poisoned_code(name, len(function.__code__.co_freevars))
    tell(f"poisoned {len(found)}")
    return len(found)


class _WhenImported(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != STOCK:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_poison(module):
            run(module)
            spec.loader.exec_module = run
            install()

        spec.loader.exec_module = run_and_poison
        return spec


def install_when_imported():
    """Poisons this process when it first imports torch.distributed.checkpoint."""
    if STOCK in sys.modules:
        install()
    else:
        sys.meta_path.insert(0, _WhenImported())


# ---- a poisoned program ----


def environment(log):
    """For a program whose Python processes are all to be poisoned, ``log`` told of it."""
    here = pathlib.Path(__file__).resolve().parent
    paths = [str(here / "poisoned_site"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), LOG: str(log)}


def read(log):
    """How many functions were poisoned, in how many processes, and the names of those entered."""
    lines = pathlib.Path(log).read_text().splitlines() if pathlib.Path(log).exists() else []
    counts = [int(line.split()[1]) for line in lines if line.startswith("poisoned ")]
    return max(counts, default=0), len(counts), sorted({x.split()[1] for x in lines if x.startswith("entered ")})


def main(arguments):
    if not arguments:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        status = subprocess.call([sys.executable, *arguments], env=environment(log))
        poisoned, processes, names = read(log)
    print(f"{poisoned} functions poisoned in {processes} processes, entered: {', '.join(names) or 'none'}")
    return status or bool(names) or poisoned == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
