"""What cheats get where nothing protects: in a process that has the whole library, the judge and the student's code together.

Reads a list of [name, lab, task, source] in JSON from standard input, and writes name -> [points, words] to the file that is its
argument.
Each runs in a fork of its own: what it patches is gone with it.
"""

import importlib
import json
import os
import sys

import torch

LABS = {name: importlib.import_module(f"advcourse.labs.{name}").LAB for name in ("lab1", "lab4", "lab8")}


def tried(lab, task, source):
    """The points, and all that the verdict says."""
    own = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        exec(
            f"import torch\nfrom torch.nn.functional import cross_entropy\nfrom advcourse.labs.{lab} import check",
            own,
        )
        exec(compile(source, "cell", "exec"), own)
        verdict = LABS[lab].check(own[task], task, seed=3)
        return verdict.points, verdict.message + verdict.trace
    except BaseException as error:
        return 0, repr(error)


def main(out):
    torch.set_num_threads(1)
    found = {}
    for name, lab, task, source in json.load(sys.stdin):
        here, there = os.pipe()
        if not os.fork():
            os.write(there, json.dumps(tried(lab, task, source))[:60_000].encode())
            os._exit(0)
        os.close(there)
        with os.fdopen(here) as told:
            found[name] = json.loads(told.read() or '[0, ""]')
        os.wait()
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
