"""What tests of the report share: a small matrix made by hand, and the page as a parser sees it."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from records import record

from advcourse.attacks import ThreatModel
from advcourse.evaluation import FailedCell, Names, Outcome

LINF = ThreatModel("Linf", 0.3, "untargeted")
SMALL = ThreatModel("Linf", 0.1, "untargeted")
TARGETED = ThreatModel("Linf", 0.3, "targeted")
LEAST = ThreatModel("L2", None, "untargeted")
LEAST_LINF = ThreatModel("Linf", None, "untargeted")
CONDITIONS = {
    "target": "random",
    "seed": 7,
    "device": "cpu",
    "threads": 1,
    "batch": 496,
    "transformations": ["Noise()"],
    "pictures": 3,
}
EVIL = "<script>alert(1)</script> & 'co' \"$x$\""
LONG = "an attack with quite a long name that has to be told apart from others with one, eps 0.125"


def measured(success, model="net", **settings):
    """A record with all that `cells.determinants` tells, pictures, and a transformation that leaves every second success."""
    n = len(success)
    after = np.asarray(success, dtype=bool) & (np.arange(n) % 2 == 0)
    made = record(success, model=model, clean={"noise": 0.75}, **{"success noise": after, **settings})
    identity = {
        "attack": made.attack,
        "model": f"{model} weights",
        "data": "checksum of the images",
        "images": "5 drawn by seed 0",
        "conditions": CONDITIONS,
        "keys": {"attack": f"key of {made.attack}", "transformations": "key of the noise"},
        "code": "checksum of the code",
        "torch": "2.99",
    }
    return replace(made, identity=identity)


def matrix():
    """Three budgeted and two minimum-norm attacks on two models; and one that failed."""
    records = []
    for model, lost in (("net", 0), ("wide net", 1)):
        four = [1] * (4 - lost) + [0] * lost
        records += [
            measured([1, 0, 0, 0], model, attack="FGSM", threat=LINF, picked=5, size=[0.3] * 4),
            measured(four, model, attack="PGD", threat=LINF, picked=5, size=[0.3] * 4),
            measured([1, 1, 0, 0], model, attack="LLC", threat=TARGETED, picked=5, wrong=[1, 1, 1, 0]),
            measured([1, 0, 0, 0], model, attack="DeepFool", threat=LEAST, picked=5, size=[0.5, 1, 1, 1]),
            measured(four, model, attack="CWL2", threat=LEAST, picked=5, size=[1, 2, 3, 4]),
        ]
    failures = [FailedCell(Names("JSMA", "net", "images"), "ValueError: no", "Traceback\n  <frame> & more")]
    return Outcome(records, failures, len(records))


class Page(HTMLParser):
    """A page: what it holds, and whether it is well formed.

    tables: caption -> rows of cells' texts. tags: (name, attributes) of all. text: what a reader sees.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.tables = [], "", {}
        self._open, self._rows, self._caption = [], [], ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "meta"):
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text += data
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open):
            self._rows[-1][-1] += " " * bool(self._rows[-1][-1]) + data

    def all(self, tag):
        """The attributes of all tags of this name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, caption, name, group=""):
        """Column -> text, of the row called `name` below the heading `group`."""
        head, *rows = self.tables[caption]
        first = rows.index([group]) if group else -1
        return next(dict(zip(head, row)) for row in rows[first + 1 :] if row[0] == name)
