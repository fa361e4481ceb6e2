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


FILES = (points_in_the_metadata, negative_points, outputs_of_a_verdict, one_id_for_all)
