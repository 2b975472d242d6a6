"""Print what exists in a simulated cloud (the file of option DUMMY_FILE), one JSON object a line."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from imframework_plugins.connectors.dummy.cloud import DummyCloud


def main() -> int:
    """Exit code 0, or 1 if there is no such file."""
    parser = argparse.ArgumentParser(prog="python -m imframework_plugins.connectors.dummy", description=__doc__)
    parser.add_argument("file", type=Path, help="the file of the inventory (option DUMMY_FILE)")
    parser.add_argument("--account", help="only this account: ID, or ID@HOST")
    parser.add_argument("--calls", action="store_true", help="the requests that reached the cloud, not what exists")
    arguments = parser.parse_args()
    if not arguments.file.exists():
        sys.stderr.write(f"{arguments.file}: there is no such file.\n")
        return 1
    cloud = DummyCloud(arguments.file)
    for item in cloud.calls(arguments.account) if arguments.calls else cloud.inventory(arguments.account):
        sys.stdout.write(json.dumps(dataclasses.asdict(item)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
