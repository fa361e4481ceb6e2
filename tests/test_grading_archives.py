"""ZIP archives that were handed in: a notebook is found in them, what is hostile or damaged is a reason, in bounded memory."""

import io
import resource
import struct
import zipfile

import layouts
import pytest
from layouts import NOTEBOOK, lay, packed

from advcourse.grading.read import archives, folders
from advcourse.grading.read.submission import LARGEST

OF_LAB1 = NOTEBOOK.replace(
    b"[]", b'[{"cell_type": "code", "source": "from advcourse.labs.lab1 import check"}]'
)


def made(*entries, method=zipfile.ZIP_DEFLATED):
    """An archive of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content, method)
    return buffer.getvalue()


def link(name, target):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    return entry, target


def with_bytes(content, old, new):
    assert old in content
    return content.replace(old, new)


def handed_in(folder, archive, name="Mia_871_assignsubmission_file_/lab1.zip"):
    """The `Found` of a student with this archive beside another student, and the sentences."""
    lay(folder, {name: archive, "Ann Lee_872_assignsubmission_file_/lab1.ipynb": NOTEBOOK})
    submissions, told = folders.find(folder, "lab1")
    assert [one.student for one in submissions] == ["Ann Lee", "Mia"]
    return submissions[1], told


GOOD = {
    "one": [("lab1.ipynb", OF_LAB1)],
    "deep": [("lab1/", b""), ("lab1/work/my lab 1.ipynb", OF_LAB1)],
    "noise": [("__MACOSX/._lab1.ipynb", b"\0"), (".ipynb_checkpoints/lab1-checkpoint.ipynb", b"x"), ("lab1.ipynb", OF_LAB1)],
    "data": [("lab1.ipynb", OF_LAB1), ("notes.txt", b"x"), ("plot.png", b"y")],
    "another lab's": [("lab2.ipynb", NOTEBOOK), ("lab1.ipynb", OF_LAB1)],
    "a link beside it": [link("more.ipynb", "/etc/passwd"), ("lab1.ipynb", OF_LAB1)],
    "a path out of it": [
        *((name, b"evil") for name in ("../../lab1.ipynb", "/lab1.ipynb", "C:\\lab1.ipynb")),
        ("lab1.ipynb", OF_LAB1),
    ],
    "Windows": [("lab1\\lab1.ipynb", OF_LAB1)],
    "as a Mac writes it": [("Lösung lab1.ipynb".encode().decode("cp437"), OF_LAB1)],
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_one_notebook_is_found_in_an_archive(tmp_path, kind):
    """Checks that what is read is the notebook that was packed, and that nothing is written anywhere."""
    one, _ = handed_in(tmp_path, made(*GOOD[kind]))
    before = sorted(tmp_path.rglob("*"))
    assert (one.reason, one.read()) == ("", OF_LAB1) and sorted(tmp_path.rglob("*")) == before


def encrypted():
    content = bytearray(made(("lab1.ipynb", OF_LAB1)))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def overlapping():
    """Two thousand entries that share one compressed megabyte."""
    content = made(("a.ipynb", bytes(10**6)))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry, count = content[start:end], 2000
    directory = entry * count
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    return content[:start] + directory + tail


def many(count):
    """An archive that says it has so many entries: its table of contents is one entry repeated."""
    content = made(("x.txt", b""))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    directory = content[start:end] * count
    tail = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536, len(directory), start, 0
    )
    return content[:start] + directory + tail


def nested(levels):
    content = made(("lab1.ipynb", OF_LAB1))
    for _ in range(levels):
        content = made(("lab1.zip", content))
    return content


WHOLE = made(("lab1.ipynb", OF_LAB1 * 40))
BAD = {
    "empty": (lambda: b"", "the ZIP archive cannot be opened"),
    "no archive": (lambda: b"PK\x03\x04 and no more", "the ZIP archive cannot be opened"),
    "cut off": (lambda: WHOLE[:-30], "the ZIP archive cannot be opened"),
    "damaged": (lambda: WHOLE[:60] + bytes(9) + WHOLE[69:], "lab1.ipynb in the ZIP archive is damaged"),
    "encrypted": (encrypted, "lab1.ipynb in the ZIP archive is encrypted; pack it again without a password"),
    "a rare method": (lambda: made(("lab1.ipynb", OF_LAB1), method=zipfile.ZIP_LZMA), "packed by a rare method"),
    "an overlapping bomb": (overlapping, "holds more than 1024 MB"),
    "many entries": (lambda: many(60_000), "holds 60000 files; allowed are 50000"),
    "a huge table": (lambda: many(400_000), "holds too many files"),
    "nested": (lambda: nested(1), "the ZIP archive holds no notebook (found: lab1.zip)"),
    "two notebooks": (lambda: made(("a.ipynb", OF_LAB1), ("b.ipynb", OF_LAB1)), "holds 2 notebooks (a.ipynb, b.ipynb)"),
    "one name twice": (lambda: many(2).replace(b"x.txt", b"ipynb"), "holds no notebook"),
    "a link": (lambda: made(link("lab1.ipynb", "/etc/passwd")), "holds no notebook (found: nothing)"),
    "a script": (lambda: made(("lab1.py", b"x")), "holds no notebook (found: lab1.py); hand in the .ipynb file"),
    "deep": (lambda: made(("a/" * 5000 + "lab1.ipynb", OF_LAB1)), "holds no notebook (found: nothing)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_opened_is_a_reason(tmp_path, kind):
    """Checks that the student is there with the sentence, that the other one is found, and that a gigabyte is not needed."""
    make, reason = BAD[kind]
    archive, before = make(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one, told = handed_in(tmp_path, archive)
    assert reason in one.reason and any(line.startswith("Mia: ") and reason in line for line in told)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 * 2**10


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_notebooks_of_one_name_in_an_archive_are_two(tmp_path):
    """Checks that neither is taken for the other."""
    one, _ = handed_in(tmp_path, made(("lab1.ipynb", OF_LAB1), ("lab1.ipynb", OF_LAB1 + b" ")))
    assert "holds 2 notebooks (lab1.ipynb, lab1.ipynb); hand in one" in one.reason


def test_a_notebook_of_too_many_bytes_is_not_unpacked_whole(tmp_path):
    """Checks a notebook of 250 MB in an archive of one: what is read is as much as shows that it is too large."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("lab1.ipynb", "w", force_zip64=True) as file:
            for _ in range(250):
                file.write(bytes(2**20))
    one, _ = handed_in(tmp_path, buffer.getvalue())
    assert not one.reason and len(one.read()) == LARGEST + 1


def test_a_good_notebook_counts_beside_a_bad_archive(tmp_path):
    """Checks that a student's damaged archive, newer than the notebook, takes nothing away, and is told."""
    lay(
        tmp_path,
        {
            "Mia_871_assignsubmission_file_/lab1.ipynb": OF_LAB1,
            "Mia_871_assignsubmission_file_/lab1.zip": b"PK",
        },
    )
    [one], told = folders.find(tmp_path, "lab1")
    assert one.read() == OF_LAB1 and any(
        "lab1.zip: the ZIP archive cannot be opened" in line for line in told
    )


@pytest.mark.parametrize("wrapped", ["", "Lab 1/", "down/"])
def test_an_archive_in_a_download_s_archive(tmp_path, wrapped):
    """Checks students' archives in the archive of a class, of systems and by hand; two people's, one archive each."""
    for names in (
        ("Mia_871_assignsubmission_file_/x.zip", "Ann_872_assignsubmission_file_/x.zip"),
        ("Mia.zip", "Ann.zip"),
    ):
        inner = made(("lab1/lab1.ipynb", OF_LAB1))
        lay(tmp_path, {"down.zip": packed({f"{wrapped}{name}": inner for name in names})})
        submissions, _ = folders.find(tmp_path / "down.zip", "lab1")
        assert [(one.student, one.read()) for one in submissions] == [("Ann", OF_LAB1), ("Mia", OF_LAB1)]


@pytest.mark.parametrize("content", [b"PK", made(), made(("lab1.ipynb", OF_LAB1))])
def test_an_archive_without_a_name_is_nobodys(tmp_path, content):
    """Checks one that cannot be opened, an empty one and a good one, named after the lab alone: told, and nobody's."""
    lay(tmp_path, {"lab1.zip": content, "Ann Lee.ipynb": OF_LAB1})
    submissions, told = folders.find(tmp_path, "lab1")
    assert [one.student for one in submissions] == ["Ann Lee"]
    assert len(told) == 1 and told[0].startswith("lab1.zip") and "whose it is cannot be told" in told[0]


def test_nothing_leads_out_of_a_download(tmp_path):
    """Checks a class's archive in which one entry's path climbs into another student's folder: it is nobody's."""
    files = {
        "Mia_871_assignsubmission_file_/lab1.ipynb": OF_LAB1,
        "Ann_872_assignsubmission_file_/../Mia_871_assignsubmission_file_/lab1.ipynb": b"evil",
    }
    lay(tmp_path, {"down.zip": packed(files)})
    [one], told = folders.find(tmp_path / "down.zip", "lab1")
    assert (one.student, one.read()) == ("Mia", OF_LAB1) and "leads out of the archive" in told[0]


def test_a_class_of_a_thousand_is_found_in_one_archive(tmp_path):
    """Checks the count: a thousand students, two attempts each, in an archive of two thousand notebooks."""
    students = {(f"Student {n:04d} A", 1000 + n): [NOTEBOOK, OF_LAB1] for n in range(1000)}
    lay(tmp_path, {"down.zip": packed(layouts.canvas(students))})
    submissions, _ = folders.find(tmp_path, "lab1")
    assert len({one.student for one in submissions}) == 1000


def test_an_archive_in_an_archive_may_hold_less(tmp_path):
    """Checks an archive with the tables of fifty thousand, and of two thousand entries, in another one: neither is read whole."""
    for count, reason in ((50_000, "holds too many files"), (2_000, "holds 2000 files; allowed are 1000")):
        path = lay(tmp_path, {"a.zip": made(("inner.zip", many(count)))}) / "a.zip"
        [inner] = archives.files(path, [])
        with pytest.raises(archives.Refused, match=reason):
            archives.inside(inner, [])


def test_limits_are_as_the_texts_say():
    """Checks the numbers in the messages above."""
    assert (archives.TOTAL, archives._ENTRIES) == (2**30, 50_000)


def test_a_file_that_vanishes_while_the_folder_is_listed(tmp_path, monkeypatch):
    """Checks a listing that names a file which is not there: it is told, and the other file is found."""
    (tmp_path / "Ann Lee.ipynb").write_text("{}")
    listed = [(str(tmp_path), [], ["Ann Lee.ipynb", "Jon Doe.ipynb"])]
    monkeypatch.setattr(archives.os, "walk", lambda root, onerror: iter(listed))
    told = []
    assert [file.parts for file in archives.files(tmp_path, told)] == [("Ann Lee.ipynb",)]
    assert told == ["Jon Doe.ipynb: No such file or directory; passed over."]
