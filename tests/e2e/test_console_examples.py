"""What the pages show of a terminal happens: their commands are typed as they stand, one after the other, in one shell.

A block ```` ```console ```` has commands, which begin with `$ `, and what each prints. There, `…` stands for anything
within a line, and on a line of its own for any lines. Ids, addresses, ports, days and times are examples, and so is how
far the columns of a table are apart; what the shell says about its jobs is left out. A block with `file=NAME` is saved
under that name first.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("console-examples"), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\S+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What is different each time, and what it looks like.
EXAMPLES = (
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"\d{4}-\d\d-\d\d",
    r"\d\d:\d\d:\d\d",
    r"127\.\d+\.\d+\.\d+(?::\d+)?",
)
MASK = re.compile("|".join(EXAMPLES))
JOB = re.compile(r"bash: line \d+: +\d+ Killed ")
#: Seconds for all commands of a page.
PATIENCE = 240


@dataclass
class Step:
    """A command, where it stands, and what is to be seen of it."""

    line: int
    command: str
    printed: list[str] = field(default_factory=list)

    def fault(self, output: str) -> str:
        """What is wrong, if it prints something else than the page shows."""
        wanted = "".join(map(_pattern, self.printed))
        lines = [_spaced(line) for line in output.splitlines() if not JOB.match(line)]
        if re.fullmatch(wanted, "".join(f"{line}\n" for line in lines)):
            return ""
        shown = "\n".join(self.printed)
        return f"line {self.line}: $ {self.command}\n--- is said to print:\n{shown}\n--- prints:\n{output}\n"


def _spaced(text: str) -> str:
    return re.sub(r" {2,}", "  ", text).rstrip()


def _pattern(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*?"
    parts, last = [], 0
    line = _spaced(line)
    for found in MASK.finditer(line):
        kind = next(kind for kind in EXAMPLES if re.fullmatch(kind, found[0]))
        parts += [re.escape(line[last : found.start()]), kind]
        last = found.end()
    return "".join([*parts, re.escape(line[last:])]).replace("…", ".*") + r"\n"


def steps(page: str) -> Iterator[Step]:
    """The commands of a page."""
    for block in BLOCK.finditer(page):
        if block[1] != "console":
            continue
        step = None
        first = page.count("\n", 0, block.start(3)) + 1
        for number, line in enumerate(block[3].splitlines(), first):
            if line.startswith("$ "):
                step = Step(number, line[2:])
                yield step
            elif step is not None and step.command.endswith("\\"):
                step.command += f"\n{line}"
            else:
                assert step is not None, f"line {number}: a terminal begins with a command"
                step.printed.append(line)


def follow(path: Path, folder: Path, variables: Mapping[str, str], addresses: Mapping[str, str] | None = None) -> None:
    """Do what a page says in a folder, with other addresses, and compare what is seen."""
    page = path.read_text(encoding="utf-8")
    for shown, real in (addresses or {}).items():
        page = page.replace(shown, real)
    for block in BLOCK.finditer(page):
        if block[2]:
            (folder / block[2]).write_text(block[3])
    todo = list(steps(page))
    assert todo
    outputs = [folder / f"output-{number}" for number in range(len(todo))]
    script = "".join(f"{{ {step.command}\n}} > {output} 2>&1\n" for step, output in zip(todo, outputs, strict=True))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IM_", "IMFRAMEWORK_"))}
    environment = {**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env={**environment, **variables}, stdin=subprocess.DEVNULL
    )
    try:
        shell.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        shell.kill()
        shell.wait()
    faults = []
    for step, output in zip(todo, outputs, strict=True):
        if not output.exists():
            faults.append(f"line {step.line}: $ {step.command}\nis not reached: the command before it does not end")
            break
        faults += filter(None, [step.fault(output.read_text())])
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_what_a_newcomer_does(page: str, new_server: Any) -> None:
    folder = new_server().directory  # whatever is left in it is ended with the server that is never started
    (folder / "examples").symlink_to(ROOT / "examples")
    follow(ROOT / page, folder, {})


@pytest.mark.parametrize("page", ["rest-api", "events"])
def test_the_reference_of(page: str, server: Any, document: Any, tmp_path: Path) -> None:
    """Of the API; what is referred to in the second page is from the first."""
    api = server.api(password="a phrase of your own")
    url = f"http://{server.host}:{server.port}"
    variables = {}
    if page != "rest-api":
        variables = {"IM": url, "AUTH": api.authorization, "INF": api.create(document(cloud="dummy"))}
        api.configured(variables["INF"])
    try:
        follow(ROOT / f"docs/reference/{page}.md", tmp_path, variables, {"http://127.0.0.1:8800": url})
    finally:
        for id in api.ids():
            api.ok("DELETE", f"/infrastructures/{id}?force=1")
