"""What a service does with a configuration run, as a process that can be killed: run a pickled job, write its reports.

server.py SANDBOX RUNS_DIR JOB AFTER REPORTS
"""

import asyncio
import os
import pickle
import sys
from pathlib import Path

from imframework.contextualization import ServerConfigurator, choose_sandbox

kind, runs_dir, job, after, reports = sys.argv[1:]
file = os.open(reports, os.O_WRONLY | os.O_APPEND)


async def report(batch: list[object]) -> None:
    """Store reports for good."""
    os.write(file, b"".join(pickle.dumps(each).hex().encode() + b"\n" for each in batch))
    os.fsync(file)


configurator = ServerConfigurator(Path(runs_dir), choose_sandbox(kind, runs_dir=Path(runs_dir)))
asyncio.run(configurator.run(pickle.loads(Path(job).read_bytes()), int(after), report))  # noqa: S301 - the test's own
