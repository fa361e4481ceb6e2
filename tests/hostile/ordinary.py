"""Grades as a user without rights: the second student alone, and after each of the submissions that it is told.

Reads {"secret", "second", "rows": [[name, lab, limits, notebook]]} in JSON from standard input. Writes {"user", "alone":
{limits: results}, "after": {name: [limits, results]}} to standard output. Root becomes nobody first.
"""

import json
import os
import sys

NOBODY = 65534


def main():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    from advcourse.grading.run.grader import Grader
    from hostile.world import LIMITS

    told = json.load(sys.stdin)

    def graded(grader, book, lab, student):
        report = grader.grade(book.encode(), lab, student, told["secret"].encode())
        return json.loads(report.as_json())["tasks"]

    found = {"user": os.getuid(), "alone": {}, "after": {}}
    for limits in sorted({limits for _, _, limits, _ in told["rows"]}):
        with Grader(LIMITS[limits], "bubblewrap") as grader:
            found["alone"][limits] = graded(grader, told["second"], "lab4", "Ada")
            for name, lab, _, book in [row for row in told["rows"] if row[2] == limits]:
                graded(grader, book, lab, "Eve")
                found["after"][name] = limits, graded(grader, told["second"], "lab4", "Ada")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
