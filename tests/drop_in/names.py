"""The names and signatures of every module of torch.distributed.checkpoint, and what of them
libdcp.torch lacks or has otherwise.

    python tests/drop_in/names.py [--json]    with any PyTorch from 2.13 on; status 1 for differences
                                              that EXPLAINED and the rules of `explain` do not cover

Compared are, of each module: its names; of functions and classes the parameters, their kinds and
defaults; of classes also what they are subclasses of, and the names and signatures in them.
"""

import collections
import enum
import fnmatch
import importlib
import inspect
import json
import pkgutil
import sys
import types
import typing
import warnings

STOCK = "torch.distributed.checkpoint"
OURS = "libdcp.torch"

# What is otherwise, and why that is right. Patterns over "module.name" and "module.Class.member".
EXPLAINED = {
    "*.TYPE_CHECKING": "an import of typing's",
    "*.logger": "modules log under names of their own, where they log",
    "filesystem.Path": "an import of pathlib's; here the type of arguments that are paths",
    "_fsspec_filesystem.FsspecWriter": "as from PyTorch 2.14 on, with cache_staged_state_dict",
    "filesystem._StoragePrefix": "also tells saves into one folder apart, where it is asked to",
    "*.load": "takes allow_objects, by keyword",
    "*._load_state_dict": "takes allow_objects, by keyword",
    **dict.fromkeys(
        [
            "filesystem._TensorLoader",
            "filesystem._SerialCpuLoader",
            "filesystem._OverlappingCpuLoader",
            "filesystem._StorageWriterTransforms",
            "filesystem._StorageReaderTransforms",
            "filesystem._generate_uuid",
            "filesystem._item_size",
            "filesystem._split_by_size_and_type",
            "filesystem._write_files_from_queue",
            "filesystem._write_item",
        ],
        "how PyTorch writes and reads files: that is the engine's",
    ),
    **dict.fromkeys(
        [
            "_async_process_executor._AsyncCheckpointProcess",
            "_async_process_executor._AsyncCheckpointRequest",
            "_async_process_executor._CHECKPOINT_PROCESS",
            "_async_process_executor._CheckpointRequestIdentifier",
            "_async_process_executor._CheckpointSaveProcessControlOpts",
            "_async_process_executor._ProcessGroupInitInfo",
        ],
        "how PyTorch talks to its process for background saves: ours is another one",
    ),
}

OTHERS = "imports of other packages, for the module's own use"
ELSEWHERE = "imports of names that another module has, in libdcp.torch too"
PRIVATE = "private members of classes: how PyTorch's do it"


def modules():
    stock = importlib.import_module(STOCK)
    yield ""
    for info in pkgutil.iter_modules(stock.__path__):
        yield info.name
        if info.ispkg:
            package = importlib.import_module(f"{STOCK}.{info.name}")
            yield from (f"{info.name}.{below.name}" for below in pkgutil.iter_modules(package.__path__))


def find(package, name):
    try:
        return importlib.import_module(f"{package}.{name}" if name else package)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(package):
            return None
        raise


def is_foreign(value):
    """Whether it was defined outside of torch.distributed.checkpoint."""
    if isinstance(value, types.ModuleType):
        return True
    module = str(getattr(value, "__module__", None))
    if isinstance(value, (type, typing.TypeVar)) or callable(value):
        return not module.startswith(STOCK)
    return module in ("typing", "typing_extensions", "functools", "__future__")


def is_elsewhere(name, value):
    """Whether the name is also in another module of the package, and there we have it too."""
    home, _, last = name.rpartition(".")
    for module in modules():
        stock = sys.modules.get(f"{STOCK}.{module}")
        ours = sys.modules.get(f"{OURS}.{module}")
        if module and module != home and stock is not None and ours is not None:
            if getattr(stock, last, None) is value and hasattr(ours, last):
                return True
    return False


def shown(value):
    """A default, as it is compared."""
    if isinstance(value, (type, types.FunctionType)):
        return value.__qualname__
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def parameters(value):
    """Names, kinds and defaults; None for what has no signature."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    return [
        (p.name, p.kind.name.lower(), None if p.default is p.empty else shown(p.default))
        for p in signature.parameters.values()
    ]


def described(value):
    return "(" + ", ".join(
        {"var_positional": "*", "var_keyword": "**"}.get(kind, "") + name
        + ("" if default is None else f"={default}")
        + (" [keyword]" if kind == "keyword_only" else "")
        for name, kind, default in value
    ) + ")"


def kind_of(value):
    if isinstance(value, type):
        return "class"
    if callable(value) and not isinstance(value, typing.TypeVar) and hasattr(value, "__name__"):
        return "function"
    if isinstance(value, property):
        return "property"
    return "value"


def compare(name, stock, ours, differences, seen):
    if stock is ours or (id(stock), id(ours)) in seen:  # a class that other modules import too
        return
    if isinstance(stock, type):
        seen.add((id(stock), id(ours)))
    kind = kind_of(stock)
    if kind != kind_of(ours):
        differences[name] = f"a {kind} is a {kind_of(ours)}"
        return
    if kind == "value":
        if isinstance(stock, (str, int, float, bool, type(None), tuple, list)) and stock != ours:
            differences[name] = f"{stock!r} is {ours!r}"
        return
    if kind != "property":
        expected, got = parameters(stock), parameters(ours)
        if expected != got and expected is not None:
            differences[name] = f"{described(expected)} is {'without' if got is None else described(got)}"
    if kind == "class":
        compare_classes(name, stock, ours, differences, seen)


def compare_classes(name, stock, ours, differences, seen):
    theirs = {base.__name__ for base in ours.__mro__}
    for base in stock.__mro__[1:]:
        if base not in ours.__mro__ and base.__name__ not in theirs:
            differences[f"{name}<{base.__name__}"] = f"is no {base.__name__}"
    for member in dir(stock):
        if member.startswith("__"):
            continue
        if not hasattr(ours, member):
            differences[f"{name}.{member}"] = "missing"
            continue
        expected, got = inspect.getattr_static(stock, member), inspect.getattr_static(ours, member)
        if type(expected) is not type(got) and isinstance(expected, (staticmethod, classmethod, property)):
            differences[f"{name}.{member}"] = f"a {type(expected).__name__} is a {type(got).__name__}"
        else:
            compare(f"{name}.{member}", getattr(stock, member), getattr(ours, member), differences, seen)


def differences():
    found, compared, seen = {}, collections.Counter(), set()
    for module in modules():
        stock = find(STOCK, module)
        compared["modules"] += 1
        ours = find(OURS, module)
        label = module
        if hasattr(stock, "__path__"):
            label = f"{module}.__init__".removeprefix(".")
        if ours is None:
            found[label] = ("no such module", None)
            continue
        own = {}
        for name in dir(stock):
            if name.startswith("__") and name != "__all__":
                continue
            compared["names"] += 1
            value = getattr(stock, name)
            if not hasattr(ours, name):
                found[f"{label}.{name}"] = ("missing", value)
                continue
            theirs = getattr(ours, name)
            if name == "__all__":
                value, theirs = sorted(value), sorted(theirs)
            compare(f"{label}.{name}", value, theirs, own, seen)
        found.update((name, (what, None)) for name, what in own.items())
    return found, compared


def explain(name, what, value):
    """Why it is otherwise; None where nothing explains it."""
    for pattern, reason in EXPLAINED.items():
        if fnmatch.fnmatchcase(name, pattern):
            return reason, pattern
    parts = name.removeprefix("_experimental.").split(".")
    part_of_package = parts[0] == "__init__" and getattr(value, "__name__", "").startswith(STOCK)
    if what == "missing" and value is not None and is_foreign(value) and not part_of_package:
        return OTHERS, None
    if what == "missing" and value is not None and is_elsewhere(name, value):
        return ELSEWHERE, None
    if len(parts) > 2 and parts[-1].startswith("_"):
        return PRIVATE, None
    return None


def report():
    warnings.simplefilter("ignore")
    found, compared = differences()
    told = {name: (what, explain(name, what, value)) for name, (what, value) in found.items()}
    return {
        "compared": dict(compared),
        "explained": {name: [what, why[0]] for name, (what, why) in told.items() if why},
        "patterns": sorted({why[1] for _, why in told.values() if why and why[1]}),
        "unexplained": {name: what for name, (what, why) in told.items() if not why},
    }


def main(arguments):
    result = report()
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    import torch

    print(f"torch {torch.__version__}: " + ", ".join(f"{n} {what}" for what, n in result["compared"].items()))
    by_reason = collections.defaultdict(list)
    for name, (what, why) in result["explained"].items():
        by_reason[why].append(name if what == "missing" else f"{name}: {what}")
    for why, names in sorted(by_reason.items()):
        print(f"\n{why} ({len(names)}):\n  " + "\n  ".join(names))
    print(f"\nunexplained ({len(result['unexplained'])}):")
    for name, what in result["unexplained"].items():
        print(f"  {name}: {what}")
    return 1 if result["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
