"""The strategies need hypothesis, and nothing else of the package does."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from trio_realtime.testing import strategies


def test_without_hypothesis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"needs hypothesis: python -m pip install 'trio-realtime\[testing\]'"):
        importlib.reload(strategies)


def test_the_rest_of_the_package_does_not_import_hypothesis() -> None:
    code = "import sys, trio_realtime, trio_realtime.testing; assert 'hypothesis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
