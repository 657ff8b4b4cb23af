"""By which release's rules state dicts are flattened."""

from __future__ import annotations

# "2_3": by those that held before PyTorch 2.4. None: by today's. A load planner that meets an older
# checkpoint sees that by itself.
_derived_version: str | None = None
