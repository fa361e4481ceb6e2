"""The machine that a cheat finds itself on: files, servers and an open file that hold a mark, and the graders that it meets."""

import http.server
import json
import os
import re
import secrets
import socket
import sqlite3
import sysconfig
import threading
import zipfile
from pathlib import Path

from grading_tests import ROOT, exercise

from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import Limits

LIMITS = {
    "usual": Limits(seconds=20, cpu_seconds=10),
    "short": Limits(seconds=2, cpu_seconds=2),
    "busy": Limits(seconds=120, cpu_seconds=2),
    "small": Limits(seconds=20, cpu_seconds=10, memory=512 * 2**20, processes=12),
}


class World:
    """What a cheat could find on this machine, and the graders that it meets."""

    def __init__(self, folder, stack):
        self.mark = f"planted-{secrets.token_hex(8)}"
        self.folder, self.stack, self.graders = folder, stack, {}
        (folder / "submitted" / "bob").mkdir(parents=True)
        (folder / "submitted" / "bob" / "lab4.ipynb").write_text(
            json.dumps({"cells": [], "metadata": {"by": self.mark}})
        )
        (folder / "secret.txt").write_text(self.mark)
        with sqlite3.connect(folder / "gradebook.db") as book:
            book.execute("create table grade (score)")
            book.execute("insert into grade values (?)", (self.mark,))
        self._pack("answers", f"MARK = {self.mark!r}")
        self.held = os.open(folder / "secret.txt", os.O_RDONLY)
        os.set_inheritable(self.held, True)
        self.port = self._serve()
        self.stays = f"stays-{secrets.token_hex(4)}"  # the name of processes that stay, at most 15 letters
        self.abstract = f"advcourse-{secrets.token_hex(4)}"
        self._listen("\0" + self.abstract)
        self._listen(str(folder / "socket"))

    def _pack(self, name, source):
        """A package that pip can install without a network."""
        told = {
            f"{name}.py": source,
            f"{name}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
            f"{name}-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{name}-1.dist-info/RECORD": "",
        }
        with zipfile.ZipFile(self.folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
            for path, text in told.items():
                wheel.writestr(path, text)

    def _serve(self):
        mark = self.mark.encode()

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(mark)

            def log_message(self, *_):
                pass

        server = self.stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.stack.callback(server.shutdown)
        return server.server_port

    def _listen(self, address):
        one = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        one.bind(address)
        one.listen()

    def source(self, text, lab, task):
        """`text` with its words in @ @ filled in."""
        (stub,) = [cell.source for cell in exercise(lab).cells if cell.id == task]
        words = {
            "TASK": task,
            "PARAMS": re.search(r"^def \w+\((.*)\):$", stub, re.M)[1],
            "REPO": str(ROOT),
            "SITE": sysconfig.get_paths()["purelib"],
            "PLANTED": str(self.folder),
            "HOME": str(Path.home()),
            "PORT": str(self.port),
            "ABSTRACT": self.abstract,
            "STAYS": self.stays,
        }
        return re.sub("@([A-Z]+)@", lambda found: words[found[1]], text)

    def grader(self, limits):
        if limits not in self.graders:
            self.graders[limits] = self.stack.enter_context(Grader(LIMITS[limits], "bubblewrap"))
        return self.graders[limits]

    def grade(self, book, lab, limits="usual", student="Eve", **how):
        return self.grader(limits).grade(book, lab, student, **{"secret": self.mark.encode(), **how})

    def taken(self):
        """All that lies in the folder, as bytes."""
        return {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}
