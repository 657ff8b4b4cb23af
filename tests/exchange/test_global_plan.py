"""Our global plan is PyTorch's: the same owner of every item, the same chunks in the same order, the same
paths, and the same verdict on layouts that are none.

The plans of tests/fixtures/plans and DCP_EXCHANGE_COUNT random ones (20 unless told otherwise) from
DCP_EXCHANGE_SEED (fresh unless told)."""

import collections
import json
import os
import pathlib
import random

import pytest

torch = pytest.importorskip("torch")
from torch.distributed.checkpoint import DefaultSavePlanner  # noqa: E402
from torch.distributed.checkpoint._dedup_save_plans import dedup_save_plans  # noqa: E402
from torch.distributed.checkpoint.default_planner import (  # noqa: E402
    _validate_global_plan, create_default_global_save_plan)

from plans import Planner, ROOT, entries_to_json, item_to_json, plan_from_json  # noqa: E402
from random_plans import random_plans  # noqa: E402

COUNT = int(os.environ.get("DCP_EXCHANGE_COUNT", "20"))
SEED = int(os.environ.get("DCP_EXCHANGE_SEED", random.SystemRandom().randrange(2**31)))
FIXTURES = sorted(pathlib.Path(ROOT / "tests/fixtures/plans").glob("*.json"))


@pytest.fixture(scope="module")
def ours():
    with Planner() as planner:
        yield planner


def sizes_disagree(plans):
    """Refused here, on purpose; stock keeps one of the tensors and says nothing."""
    sizes = collections.defaultdict(set)
    for plan in plans:
        for item in plan["items"]:
            if item["kind"] != "bytes":
                sizes[item["name"]].add(tuple(item["size"]))
    return any(len(of_name) > 1 for of_name in sizes.values())


def problems(messages):
    """Messages of a validation, in any order; of two chunks that overlap either may come first. Which
    chunks a box of negative size overlaps is nobody's business: it is out of bounds."""
    out = collections.Counter()
    for message in messages:
        if " has overlapping chunks: " in message:
            key, chunks = message.split(" has overlapping chunks: ")
            chunks = [chunk.strip() for chunk in chunks.split("ChunkStorageMetadata")[1:]]
            if any("-" in chunk.split("sizes=")[1] for chunk in chunks):
                continue
            out[key, *sorted(chunks)] += 1
        else:
            out[message] += 1
    return out


def compare(ours, plans, lowest):
    """Returns what came of it: "planned" or the kind of refusal."""
    stock_plans = [plan_from_json(plan) for plan in plans]
    answer = ours.ask(plans=plans, lowest=lowest)
    if sizes_disagree(plans):
        assert "has size" in answer["error"] or "item.index.fqn not in md" in answer["error"]
        return "sizes disagree"
    try:
        deduplicated = dedup_save_plans(stock_plans, lowest)
        global_plans, metadata = create_default_global_save_plan(deduplicated)
    except (AssertionError, AttributeError) as refusal:  # the second: chunks for what is an object
        assert "item.index.fqn not in md" in answer["error"], (refusal, answer)
        return "kinds disagree"
    entries = entries_to_json(metadata)
    messages = _validate_global_plan(global_plans, metadata)
    assert problems(ours.ask(validate=entries, ranks=len(plans))["messages"]) == problems(messages)
    if messages:
        assert answer.get("error", "").startswith("Failed to validate global plan: key:"), (messages, answer)
        return "invalid"
    assert "error" not in answer, answer["error"]
    assert answer["entries"] == entries
    assert len(answer["ranks"]) == len(global_plans)
    names = {name: number for number, (name, _) in enumerate(entries)}
    for rank, plan in enumerate(global_plans):
        kept = [(item_to_json(item), names[item.index.fqn], item.index.index) for item in plan.items]
        # An object has no index hint.
        found = [(plans[rank]["items"][source], entry,
                  None if plans[rank]["items"][source]["kind"] == "bytes" else chunk)
                 for source, entry, chunk in answer["ranks"][rank]]
        assert found == kept, f"rank {rank}"
    flattened = plans[0]["paths"] is not None
    planner = DefaultSavePlanner(flatten_state_dict=flattened, dedup_save_to_lowest_rank=lowest)
    _, metadata = planner.create_global_plan(stock_plans)
    paths = metadata.planner_data
    if paths is not None:
        paths = [[name, list(path)] for name, path in paths.items()]
    assert answer["paths"] == paths
    return "planned"


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_golden(ours, path):
    plans = json.loads(path.read_text())["plans"]
    assert compare(ours, plans, False) == "planned"
    assert compare(ours, plans, True) == "planned"


def test_random_global_plans(ours, capsys):
    outcomes = collections.Counter()
    for seed in range(SEED, SEED + COUNT):
        plans, lowest = random_plans(seed)
        try:
            outcomes[compare(ours, plans, lowest)] += 1
        except AssertionError as different:
            raise AssertionError(f"plans of seed {seed}: {different}") from different
    with capsys.disabled():
        print(f"\nglobal plans of {COUNT} random layouts from seed {SEED} equal PyTorch's: {dict(outcomes)}")
