"""All benches in turn, and their figures in one table: ``python tests/bench/run.py [NAME…] [--json FILE]``.

A missed target is shown, and is no failure: how fast a machine is depends on what else it does. A bench that cannot be
carried out is one: exit code 1. See docs/performance.md for how to read the table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from figures import Figure, load_average, table

BENCHES = ("get", "scale", "post", "open_loop", "connections", "process", "radl", "tosca", "storage", "demo")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False)
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load": load_average(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    figures: list[Figure] = []
    failed = []
    for name in arguments.names or BENCHES:
        began = time.perf_counter()
        try:
            for figure in importlib.import_module(f"bench_{name}").measure():
                figures.append(figure)
        except (Exception, SystemExit):  # noqa: BLE001 - the others are to be measured all the same
            traceback.print_exc()
            failed.append(name)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(figures))
    if arguments.json:
        data = {"machine": about, "figures": [figure.data() for figure in figures]}
        arguments.json.write_text(json.dumps(data, indent=2) + "\n")
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
