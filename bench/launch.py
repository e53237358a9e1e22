"""Runs one command and writes what it and all its descendants cost; a process of its own, and a small one.

A child's peak memory begins with its parent's, so nothing large may start it: this interpreter has about 10 MB.
Run `python -I -S launch.py RESULT COMMAND...`; RESULT gets a line of JSON.
"""

import json
import os
import resource
import sys
import time


def main() -> None:
    """Measure the command of the arguments."""
    result, *command = sys.argv[1:]
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "user": used.ru_utime,
        "system": used.ru_stime,
        "peak_kib": used.ru_maxrss,
    }
    with open(result, "w") as file:  # noqa: PTH123 - pathlib would make this process larger
        json.dump(facts, file)


if __name__ == "__main__":
    main()
