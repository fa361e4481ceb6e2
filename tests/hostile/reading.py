"""They read what is not theirs: solutions, gradebook, other submissions, environment, memory, files that the grader has open."""

from hostile import body, cheat

cheat(
    "reads_the_solutions",
    """
    import json


    def rate(clean_logits, logits, y, target):
        with open("@REPO@/solutions/lab4/lab4.ipynb", encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        (cell,) = [cell for cell in cells if cell["id"] == "rate"]
        own = {}
        exec("import torch\\n" + "".join(cell["source"]), own)
        return own["rate"](clean_logits, logits, y, target)
    """,
    succeeds="points",
)

cheat(
    "searches_the_disk",
    body(
        """
        wanted, found = ("lab4.ipynb", "gradebook.db", "secret.txt", "rate.py", "one_step.py"), []
        for root in "@PLANTED@ @REPO@ /tmp /home /root /srv /mnt /run /var /proc/self/root/work".split():
            for folder, _, files in os.walk(root):
                found += [os.path.join(folder, name) for name in files if name in wanted and "torch" not in folder]
            if found:
                raise RuntimeError("LE" "AK " + " ".join(found[:5]))
        """,
        "import os",
    ),
    succeeds="LEAK",
)

cheat(
    "changes_the_gradebook",
    body(
        """
        with sqlite3.connect("@PLANTED@/gradebook.db") as book:
            (found,) = book.execute("select score from grade").fetchone()
            book.execute("update grade set score = 1000")
        raise RuntimeError("LE" "AK " + str(found))
        """,
        "import sqlite3",
    ),
    succeeds="LEAK",
)

cheat(
    "reads_other_submissions",
    body(
        """
        for path in glob.glob("@PLANTED@/**/*.ipynb", recursive=True):
            with open(path) as file:
                raise RuntimeError("LE" "AK " + file.read())
        """,
        "import glob",
    ),
    succeeds="LEAK",
)

cheat(
    "reads_the_secret_file",
    body(
        """
        import numpy
        raise RuntimeError("LE" "AK " + numpy.fromfile("@PLANTED@/secret.txt", dtype="uint8").tobytes().decode())
        """
    ),
    succeeds="LEAK",
)

cheat(
    "reads_the_environment",
    body(
        """
        found = [value for value in os.environ.values() if "-".join(("planted", "")) in value]
        if found:
            raise RuntimeError("LE" "AK " + found[0])
        """,
        "import os",
    ),
    succeeds="LEAK",
)

cheat(
    "reads_the_accounts_and_the_home",
    body(
        """
        found = []
        for path in "/etc/passwd /etc/shadow /etc/hostname /etc/ssh @HOME@/.bashrc @HOME@/.profile @HOME@/.ssh".split():
            try:
                if os.listdir(path) if os.path.isdir(path) else open(path).read():
                    found.append(path)
            except OSError:
                pass
        if found:
            raise RuntimeError("LE" "AK " + " ".join(found))
        """,
        "import os",
    ),
    succeeds="LEAK",
)

cheat(
    "lists_the_repository",
    body(
        """
        names = "solutions exercises .git .git/HEAD tests advcourse/attacks advcourse/grading advcourse/labs/checks.py"
        found = [name for name in names.split() if os.path.exists("@REPO@/" + name)]
        if found:
            raise RuntimeError("LE" "AK " + " ".join(found))
        """,
        "import os",
    ),
    succeeds="LEAK",
)

cheat(
    "reads_the_history_of_the_repository",
    body(
        """
        objects = glob.glob("@REPO@/.git/objects/*/*") + glob.glob("/**/.git/objects/pack/*.idx")
        for path in objects:
            with open(path, "rb") as file:
                raise RuntimeError("LE" "AK " + path + str(file.read(20)))
        """,
        "import glob",
    ),
)

cheat(
    "executes_the_judges_file",
    """
    import os
    import sys


    def rate(clean_logits, logits, y, target):
        for root in [*sys.path, "@REPO@", "@SITE@"]:
            path = os.path.join(root, "advcourse", "labs", "lab4", "rate.py")
            if os.path.exists(path):
                own = {}
                exec(compile(open(path).read(), path, "exec"), own)
                return own["rate"](clean_logits, logits, y, target)
    """,
    succeeds="points",
)

cheat(
    "asks_how_the_library_is_installed",
    body(
        """
        for root in [*sys.path, "@SITE@"]:
            for path in glob.glob(os.path.join(root, "__editable__*")) + glob.glob(os.path.join(root, "advcourse*-info", "*")):
                raise RuntimeError("LE" "AK " + path)
        """,
        "import glob, os, sys",
    ),
    succeeds="LEAK",
)

cheat(
    "reads_compiled_files",
    body(
        """
        for root in [*sys.path, "@REPO@"]:
            for path in glob.glob(os.path.join(root, "advcourse", "**", "*.pyc"), recursive=True):
                if any(name in path for name in ("counting", "definitions", "one_step", "checks", "fast_gradient")):
                    with open(path, "rb") as file:
                        raise RuntimeError("LE" "AK " + str(marshal.loads(file.read()[16:])) + path)
        """,
        "import glob, marshal, os, sys",
    ),
)

_OF_PROCESSES = """
    import glob
    import os
    import re

    MARK = re.compile(b"planted-[0-9a-f]{8}")


    def look(data, where):
        found = MARK.search(data)
        if found:
            raise RuntimeError("LE" "AK " + found.group().decode() + " in " + where)
"""

cheat(
    "reads_the_environment_of_processes",
    _OF_PROCESSES
    + """

    def @TASK@(@PARAMS@):
        for path in glob.glob("/proc/*/environ"):
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            look(data, path)
    """,
)

cheat(
    "walks_through_the_roots_of_processes",
    _OF_PROCESSES
    + """

    def @TASK@(@PARAMS@):
        for path in glob.glob("/proc/*/root") + glob.glob("/proc/*/cwd") + glob.glob("/proc/*/task/*/root"):
            for inside in ("@PLANTED@/secret.txt", "@REPO@/solutions/lab4/lab4.ipynb"):
                try:
                    with open(path + inside, "rb") as file:
                        raise RuntimeError("LE" "AK " + path + inside)
                except OSError:
                    pass
    """,
)

cheat(
    "reads_the_open_files_of_processes",
    _OF_PROCESSES
    + """

    def @TASK@(@PARAMS@):
        for path in glob.glob("/proc/*/fd/*"):
            try:
                file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                data = os.pread(file, 10**6, 0)
            except OSError:
                continue
            look(data, path)
    """,
)

cheat(
    "reads_the_files_it_was_born_with",
    _OF_PROCESSES
    + """

    def @TASK@(@PARAMS@):
        for number in range(256):
            try:
                data = os.pread(number, 10**6, 0)
            except OSError:
                continue
            look(data, str(number))
    """,
    succeeds="LEAK",
)

_MEMORY = (
    _OF_PROCESSES
    + """

    def regions(pid, kind):
        try:
            with open(f"/proc/{pid}/maps") as file:
                lines = file.readlines()
        except OSError:
            return
        for line in lines:
            if line.split()[1].startswith(kind) and "[v" not in line:
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                if high - low < 2**26:
                    yield low, high - low


    def others():
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
"""
)

cheat(
    "reads_the_memory_of_processes",
    _MEMORY
    + """

    def @TASK@(@PARAMS@):
        for pid in others():
            try:
                with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                    for low, size in regions(pid, "rw"):
                        memory.seek(low)
                        look(memory.read(size), f"the memory of {pid}")
            except OSError:
                continue
    """,
)

cheat(
    "asks_the_kernel_for_the_memory_of_processes",
    _MEMORY
    + """

    def @TASK@(@PARAMS@):
        import ctypes

        class Span(ctypes.Structure):
            _fields_ = [("start", ctypes.c_void_p), ("size", ctypes.c_size_t)]

        read = ctypes.CDLL(None).process_vm_readv
        for pid in others():
            for low, size in regions(pid, "rw"):
                mine = ctypes.create_string_buffer(size)
                here, there = Span(ctypes.cast(mine, ctypes.c_void_p), size), Span(low, size)
                if read(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0:
                    look(mine.raw, f"the memory of {pid}")
    """,
)

cheat(
    "overwrites_the_memory_of_processes",
    _MEMORY
    + """

    def @TASK@(@PARAMS@):
        for pid in others():
            for low, size in regions(pid, "rw"):
                try:
                    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
                        memory.seek(low)
                        memory.write(bytes(size))
                except OSError:
                    continue
    """,
)

cheat(
    "stops_its_parent_as_a_debugger",
    body(
        """
        kernel = ctypes.CDLL(None)
        for pid in (os.getppid(), 1):
            kernel.ptrace(16, pid, 0, 0)  # PTRACE_ATTACH: the other one stands still until the debugger lets it go
        time.sleep(0.3)
        return torch.zeros(())
        """,
        "import ctypes, os, time\nimport torch",
    ),
)
