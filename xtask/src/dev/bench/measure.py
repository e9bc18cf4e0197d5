"""Run a program: `measure.py ANSWER PROGRAM ARGS...`; its stdout goes to the file ANSWER.

Prints seconds from start to exit, the peak resident memory that the operating system accounts to the process and
to those it waited for, and the exit status. A process starts as a copy of this one, so a peak below this
interpreter's own, about 10 MB, cannot be seen.
"""

import json
import os
import sys
import time

answer, command = sys.argv[1], sys.argv[2:]
fd = os.open(answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
start = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, fd, 1)])
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
sample = {
    "seconds": seconds,
    "peak_bytes": usage.ru_maxrss * unit,
    "status": os.waitstatus_to_exitcode(status),
}
print(json.dumps(sample))
