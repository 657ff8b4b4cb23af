"""Process groups: sub-groups, coordinators, saves in the background, failures."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "exchange"))
import gloo_job  # noqa: E402


@pytest.fixture
def job(tmp_path, monkeypatch):
    here = str(pathlib.Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")])))
    return lambda size, function: gloo_job.run(tmp_path / "job", size, "gloo_groups", function, tmp_path)


def test_sub_groups_and_coordinators(job):
    assert all("sub-groups saved" in text for text in job(4, "sub_groups"))


def test_in_the_background(job):
    assert all("all in the background" in text for text in job(3, "in_the_background"))


def test_planners_in_the_background(job):
    job(2, "planners_in_the_background")


def test_failures(job):
    assert all("failures told" in text for text in job(3, "failures"))


def test_failures_without_collectives(job):
    job(2, "raw_without_collectives")


def test_plan_caching(job):
    job(2, "plan_caching")


def test_groups_made_again(job):
    job(2, "again")


def test_groups_on_threads(job):
    job(2, "threads")


def test_a_rank_that_comes_late(job, monkeypatch):
    monkeypatch.setenv("LIBDCP_TIMEOUT", "3")
    job(2, "late")
