"""The tests see no workflow around them, also where one runs them: they would write into its outputs and summary."""

import itertools
import os

import pytest

for name in [name for name in os.environ if name.startswith(("GITHUB_", "INPUT_", "ACTIONS_"))]:
    del os.environ[name]

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache for each test: nothing that another test or a person converted is reused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / f"cache-{next(_numbers)}"))
