"""Becomes the SSH daemon of a machine: a program of its own, run with the standard library only.

    launch.py RUN_FILE LOG LOCK_FD SSHD ARGUMENT...

It detaches from whoever started it, writes its process id and start time to RUN_FILE *before* it executes SSHD (so
there is no daemon that is not on record), and makes that process the one that orphans of the machine are handed to
(PR_SET_CHILD_SUBREAPER): whatever is started in the machine, however it turns into a daemon, stays below it in the
process tree and can be found when the machine is stopped.

The lock behind LOCK_FD is held until SSHD runs, also if the starter is killed meanwhile. The program ends with
status 0 when SSHD runs, and with 1 and the reason on standard error when it does not.
"""

import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def main(run_file: str, log: str, lock: str, *command: str) -> int:
    """Start the daemon in a child and say whether it runs."""
    reader, writer = os.pipe()  # closed by a successful exec, as is the lock in the child
    if os.fork() == 0:
        try:
            become(run_file, log, int(lock), command)
        except OSError as error:
            os.write(writer, f"{os.path.basename(error.filename or command[0])}: {error.strerror}".encode())
        os._exit(127)
    os.close(writer)
    failure = os.read(reader, 4096)
    os.write(2, failure)
    return 1 if failure else 0


def become(run_file: str, log: str, lock: int, command: tuple[str, ...]) -> None:
    """Turn this process into the daemon; returns only by raising OSError."""
    os.set_inheritable(lock, False)
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    for each in signal.valid_signals():
        if signal.getsignal(each) in (signal.SIG_IGN, signal.default_int_handler):
            signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl")
    null = os.open(os.devnull, os.O_RDWR)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in enumerate((null, null, output)):
        os.dup2(source, target)
    write_run_file(run_file)
    os.execve(command[0], command, {"PATH": os.environ["PATH"]})  # noqa: S606


def write_run_file(path: str) -> None:
    """Record this process so that none is taken for it: boot of the host, process id, start in ticks since the boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as stat:
        started = stat.read().rpartition(")")[2].split()[19]
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(f"{boot} {os.getpid()} {started}\n")
    os.replace(path + ".new", path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
