"""None of PyTorch's planning, file and coordination code runs behind libdcp.torch: with every function
of it failing, everything works."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
import poison  # noqa: E402

HERE = pathlib.Path(__file__).parent


def defined(path):
    """By name the functions and methods that the source defines, nested ones left out."""
    names = []

    def visit(nodes, within):
        for node in nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.append(f"{within}{node.name}")
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{within}{node.name}.")
            else:  # under an if or a try
                visit(ast.iter_child_nodes(node), within)

    visit(ast.parse(pathlib.Path(path).read_text()).body, "")
    return names


def test_introspection_finds_what_the_sources_define():
    found = poison.functions()
    for name in poison.MODULES:
        full = f"{poison.STOCK}.{name}"
        if importlib.util.find_spec(full) is None:
            continue
        path = importlib.import_module(full).__file__
        got = {f.__qualname__ for f in found.values() if f.__code__.co_filename == path}
        assert got == set(defined(path)), name
    got = {f.__qualname__ for n, f in found.items() if n.startswith(f"{poison.STOCK}.utils.")}
    utils = importlib.import_module(f"{poison.STOCK}.utils").__file__
    assert got == {name for name in defined(utils) if name.startswith("_DistWrapper.")}
    print(f"\n{len(found)} functions")


def run(log, *arguments, python=(sys.executable,)):
    done = subprocess.run(
        [*python, *map(str, arguments)],
        env=poison.environment(log), capture_output=True, text=True, timeout=600,
    )
    return done.returncode, done.stdout + done.stderr, poison.read(log)


ENTER_ALL = """
import sys
import torch.distributed.checkpoint
poison = sys.modules["libdcp_poison"]
names = sys.argv[1:]
from operator import attrgetter
import importlib
count = 0
for name in names:
    module, _, rest = name.removeprefix(poison.STOCK + ".").partition(".")
    value = importlib.import_module(f"{poison.STOCK}.{module}")
    for part in rest.split("."):
        value = vars(value)[part] if isinstance(value, type) else getattr(value, part)
        value = getattr(value, "__func__", value)
    for arguments in ((), (1, 2, 3)):
        try:
            value(*arguments)
        except poison.Poisoned:
            count += 1
print("raised", count)
"""


def test_each_of_them_fails_when_it_is_entered(tmp_path):
    names = list(poison.functions())
    status, text, (poisoned, processes, entered) = run(tmp_path / "log", "-c", ENTER_ALL, *names)
    assert status == 0, text
    # The decorator of `save` and `load` for the old order of arguments refuses some calls itself.
    assert entered == sorted(names)
    assert (poisoned, processes) == (len(names), 1)
    print(f"\n{poisoned} functions poisoned, each entered")


def test_names_that_were_imported_before_fail_too(tmp_path):
    program = (
        "import torch.distributed.checkpoint as d\n"
        "from torch.distributed.checkpoint.planner_helpers import _compare_save_plans as compare\n"
        "import sys; sys.path.insert(0, sys.argv[1]); import poison; poison.install()\n"
        "for call in (compare, d.save, d.FileSystemWriter):\n"
        "    try: call('x')\n"
        "    except poison.Poisoned: print('failed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(HERE)], capture_output=True, text=True, timeout=600
    )
    assert done.stdout.count("failed") == 3, done.stdout + done.stderr


def test_processes_that_are_spawned_are_poisoned_and_a_swallowed_failure_is_told(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing\n"
        "def work():\n"
        "    import torch.distributed.checkpoint.resharding as r\n"
        "    try: r._check_shard_metadata_pair_overlap(1, 2)\n"
        "    except BaseException: pass\n"
        "if __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    child.start(); child.join()\n"
    )
    done = subprocess.run(
        [sys.executable, str(HERE / "poison.py"), str(program)],
        capture_output=True, text=True, timeout=600,
    )
    last = done.stdout.splitlines()[-1]
    assert last.endswith(f"entered: {poison.STOCK}.resharding._check_shard_metadata_pair_overlap")
    assert last.startswith(f"{len(poison.functions())} functions poisoned in 1 processes")
    assert done.returncode == 1


# ---- libdcp.torch under poison ----


def test_a_tour_of_the_drop_in(tmp_path):
    status, text, (poisoned, _, entered) = run(tmp_path / "log", HERE / "poison_tour.py", tmp_path / "tour")
    assert status == 0, text
    assert "the tour is over" in text and entered == []
    print(f"\n{poisoned} functions poisoned, none entered")


def our_modules():
    import libdcp.torch

    yield libdcp.torch
    for info in pkgutil.walk_packages(libdcp.torch.__path__, "libdcp.torch."):
        yield importlib.import_module(info.name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_class_of_ours_inherits_from_a_poisoned_one():
    barred = {f"{poison.STOCK}.{name}" for name in poison.MODULES}
    seen = 0
    for module in our_modules():
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__.startswith("libdcp."):
                seen += 1
                for base in value.__mro__:
                    assert base.__module__ not in barred, f"{module.__name__}.{name} is a {base}"
    assert seen > 10
