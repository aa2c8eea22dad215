"""How fast pycrashreport reads the crash reports whose paths come in on stdin, one a line.

Prints `<files read> <seconds>`: of how many files every field could be read, and the fastest round over all files.
"""

import sys
import time

from pycrashreport.crash_report import get_crash_report_from_buf

# As with our own reader, whatever else runs on the machine only slows a round down.
ROUNDS = 400


def read_fields(content):
    report = get_crash_report_from_buf(content.decode("utf-8", errors="replace"))
    return (
        report.bug_type,
        report.name,
        report.timestamp,
        report.incident_id,
        report.faulting_thread,
        report.frames,
        report.registers,
        report.exception_type,
        report.exception_subtype,
        report.application_specific_information,
    )


def read_all(contents):
    count = 0
    for content in contents:
        try:
            read_fields(content)
            count += 1
        except Exception:
            # A field that a report lacks ends the reading of that report.
            pass
    return count


def main():
    contents = []
    for path in sys.stdin.read().splitlines():
        with open(path, "rb") as file:
            contents.append(file.read())
    fastest = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        count = read_all(contents)
        fastest = min(fastest, time.perf_counter() - started)
    print(count, fastest)


main()
