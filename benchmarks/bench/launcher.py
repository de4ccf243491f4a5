"""Runs one program and says what it took; `measure` starts this file as a program of its own, with next to no memory.

    launcher.py RESULT LOG COMMAND...

Linux counts what a process had in memory when it started a program as that program's own peak. So the program must not be
started by the benchmark, which may have a corpus in memory, but by something small.
"""

import os
import sys
import time


def main() -> None:
    """Write `exit status, wall, user and system seconds, peak KiB` to RESULT."""
    result, log, *command = sys.argv[1:]
    redirect = [
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=redirect)
    _, status, used = os.wait4(pid, 0)
    wall = time.monotonic() - started
    with open(result, "w") as stream:
        stream.write(f"{os.waitstatus_to_exitcode(status)} {wall} {used.ru_utime} {used.ru_stime} {used.ru_maxrss}")


if __name__ == "__main__":
    main()
