"""Paths below a URL of fsspec's."""

from __future__ import annotations

import os
from typing import Any


def below(path: str, suffix: str) -> str:
    """The URL of a file in the folder that `path` names. In a chain ("zip://folder::s3://bucket/a.zip",
    "simplecache::s3://bucket/folder") the folder is in the first link that has a path."""
    links = path.split("::")
    at = next((i for i, link in enumerate(links) if "://" in link), len(links) - 1)
    links[at] = os.path.join(links[at], suffix)
    return "::".join(links)


def in_file_system(fs: Any, path: str, options: dict[str, Any]) -> str:
    """What the file system itself calls `path`."""
    if "::" in path:
        from fsspec.core import url_to_fs

        named: str = url_to_fs(path, **options)[1]
        return named
    return path
