"""The files of docs/testing-your-voice-app.md run as they stand, and its planted bug is found as the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import trio_realtime.session
from tests.serving_thread import endpoint_of, serving_in_a_thread
from trio_realtime.testing import Simulator, says

PAGE = (Path(__file__).parent.parent / "docs" / "testing-your-voice-app.md").read_text()
FILES = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL))
(FIX,) = re.findall(r"```diff\n-(.*)\n\+(.*)\n```", PAGE)
(PRINTED,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)


def run_pytest(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """Run tests of the page in a process of their own: its conftest.py sets Hypothesis's profile."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:cov", *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content)


def test_every_block_of_code_is_a_file_of_its_own() -> None:
    assert len(re.findall(r"^```(?:python|toml)$", PAGE, flags=re.MULTILINE)) == len(FILES)


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
    anchors = [re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert re.findall(r"\]\(#(.*?)\)", PAGE) == anchors


def test_the_planted_bug_is_found_and_shortened_to_what_the_page_shows(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    result = run_pytest(tmp_path, "test_captions.py")
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout
    printed = result.stdout.replace("Falsifying example:", "Failing test case:")  # as older Hypotheses say
    assert PRINTED in printed


def test_every_test_of_the_page_passes_once_the_bug_is_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, right = FIX
    assert FILES["captions.py"].count(f"{wrong}\n") == 1
    write(tmp_path, FILES | {"captions.py": FILES["captions.py"].replace(wrong, right)})
    monkeypatch.chdir(tmp_path)
    with serving_in_a_thread(Simulator([says("It is Paris.")], pace=0)) as server:
        monkeypatch.setattr(trio_realtime.session, "OpenAI", lambda: endpoint_of(server))
        exec(compile(FILES["record.py"], "record.py", "exec"), ModuleType("record").__dict__)
    tests = sorted(name for name in FILES if name.startswith("test_"))
    if find_spec("openai") is None or find_spec("websockets") is None:
        tests.remove("test_socket.py")  # the official client is in the extra `peers`
    result = run_pytest(tmp_path, *tests)
    assert result.returncode == 0, result.stdout
    assert {name for name in tests if f"\n{name}::" in result.stdout} == set(tests)
