"""Files that claim points in their metadata or outputs. Each is a change of the notebook's JSON, not a cell: see `FILES`."""


def points_in_the_metadata(book, cell):
    """The answer's own cell, and the locked one, promise a thousand points."""
    for found in book["cells"]:
        grader = found["metadata"].setdefault(
            "nbgrader", {"schema_version": 3, "grade_id": "more", "grade": True, "solution": True}
        )
        grader.update(points=1000, grade=True, score=1000)
    book["metadata"]["advcourse"] = {"points": 1000, "right": True}


def negative_points(book, cell):
    """All other cells take points away, as if the sum were made of them."""
    for found in book["cells"]:
        if found is not cell and "nbgrader" in found["metadata"]:
            found["metadata"]["nbgrader"].update(points=-5)


def outputs_of_a_verdict(book, cell):
    """Stored outputs that look like the check's own."""
    told = "rate: right (2 of 2 points)\nAll 5 properties hold."
    for found in book["cells"]:
        if found["cell_type"] == "code":
            data = {"text/plain": told, "text/html": f"<div role='status'>{told}</div>"}
            found["outputs"] = [
                {"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1}
            ]


def one_id_for_all(book, cell):
    """Every cell says that it is the answer."""
    for found in book["cells"]:
        found["id"] = "rate"
        found["metadata"]["nbgrader"] = {
            "grade_id": "rate",
            "solution": True,
            "grade": True,
            "points": 2,
            "schema_version": 3,
        }


def one_id_for_two(book, cell):
    """The locked cell behind the answer, and a text with another answer in it, have the answer's own id."""
    place = book["cells"].index(cell)
    for found in book["cells"][place + 1 : place + 3]:
        found["id"] = cell["id"]
    text = "def rate(clean_logits, logits, y, target=None):\n    return 1.0"
    book["cells"].append(
        {"cell_type": "raw", "id": cell["id"], "metadata": {"nbgrader": {"grade_id": "rate"}}, "source": text}
    )


def metadata_without_end(book, cell):
    """Deep, wide and long metadata everywhere."""
    deep = {}
    for _ in range(400):
        deep = {"nbgrader": deep, "points": 10**300}
    for found in book["cells"]:
        found["metadata"] = {
            **found["metadata"],
            **{f"key-{i}": "right " * 20 for i in range(500)},
            "deep": deep,
        }
    book["metadata"].update(deep=deep, kernelspec={"name": ["python3"] * 1000}, language_info=deep)


def numbers_without_end(book, cell):
    """Numbers that no float and no counter can hold, where numbers are expected."""
    for found, number in zip(
        book["cells"], [10**4000, -(10**300), 1e308 * 10, float("nan"), True, "2", None, [2], {}] * 20
    ):
        found["execution_count"] = number
        found["metadata"].setdefault("nbgrader", {}).update(
            points=number, score=number, schema_version=number
        )
    book.update(nbformat_minor=10**4000, points=10**4000)


def missing_fields(book, cell):
    """No cell has more than its kind and its text; the notebook has no metadata and no version."""
    book["cells"] = [{name: found[name] for name in ("cell_type", "source")} for found in book["cells"]]
    for name in set(book) - {"cells"}:
        del book[name]


def fields_of_other_kinds(book, cell):
    """Ids, metadata, outputs and attachments that are of other kinds than they should be, beside cells that are none."""
    for found in book["cells"]:
        found.update(
            id={"rate": [found.get("id")]}, attachments=[[[]]] * 1000, outputs={"text": 5}, collapsed="right"
        )
    book["cells"] += [
        None,
        5,
        "def rate(): return 1",
        [],
        {"cell_type": "code"},
        {"source": {"a": 1}},
        {"cell_type": 3},
    ]
    book["worksheets"] = [{"cells": [{"cell_type": "code", "input": "def rate(*values):\n    return 1.0"}]}]


FILES = (
    points_in_the_metadata,
    negative_points,
    outputs_of_a_verdict,
    one_id_for_all,
    one_id_for_two,
    metadata_without_end,
    numbers_without_end,
    missing_fields,
    fields_of_other_kinds,
)
