"""What learning systems let an instructor download: names as each system makes them, for a class that is drawn."""

import io
import os
import zipfile
from datetime import datetime, timedelta

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
BEGIN = datetime(2026, 11, 20, 10, 11, 12)
SYSTEMS = {}


def system(write):
    SYSTEMS[write.__name__] = write
    return write


def at(attempt):
    """When an attempt was handed in."""
    return BEGIN + timedelta(days=attempt, minutes=61 * attempt)


# Each gives path -> content for students, as (name, number) -> the contents of their attempts, the newest last.


@system
def moodle(students):
    return {
        f"{name.replace('_', ' ')}_{number}_assignsubmission_file_/{i}/lab1.ipynb": content
        for (name, number), attempts in students.items()
        for i, content in enumerate(attempts)
    }


@system
def moodle_flat(students):
    return {
        f"{name.replace('_', ' ')}_{number}_assignsubmission_file_{i}lab1.ipynb": content
        for (name, number), attempts in students.items()
        for i, content in enumerate(attempts)
    }


@system
def canvas(students):
    found = {}
    for (name, number), attempts in students.items():
        for i, content in enumerate(attempts):
            again, late = f"-{i}" if i else "", "LATE_" * (number % 2)
            found[f"{login(name)}_{late}{number}_{98000 + 7 * i}_lab1{again}.ipynb"] = content
    return found


@system
def blackboard(students):
    found = {}
    for (name, number), attempts in students.items():
        for i, content in enumerate(attempts):
            user, when = f"{login(name)}{number}", at(i).strftime("%Y-%m-%d-%H-%M-%S")
            found[f"Lab 1_{user}_attempt_{when}_lab1.ipynb"] = content
            told = f"Name: {name} ({user})\nAssignment: Lab 1\n"
            found[f"Lab 1_{user}_attempt_{when}.txt"] = told.encode()
    return found


@system
def brightspace(students):
    found = {"index.html": b"<html>"}
    for (name, number), attempts in students.items():
        for i, content in enumerate(attempts):
            found[f"{number}-67890 - {name} - {at(i):%b %d, %Y %I%M %p} - lab1.ipynb"] = content
    return found


@system
def brightspace_folders(students):
    found = {"index.html": b"<html>"}
    for (name, number), attempts in students.items():
        for i, content in enumerate(attempts):
            found[f"{number}-67890 - {name}- {at(i):%d %B, %Y %H%M}/lab1.ipynb"] = content
    return found


@system
def gradescope(students):
    found, told = {}, []
    for (name, number), attempts in students.items():
        for i, content in enumerate(attempts):
            found[f"assignment_1_export/submission_{number}{i}/lab1.ipynb"] = content
            quoted = name.replace("'", "''")
            told.append(
                f"submission_{number}{i}:\n  :submitters:\n  - :name: '{quoted}'\n    :email: s{number}@uni.edu\n"
                f"    :sid: '{number}'\n  :created_at: {at(i):%Y-%m-%d %H:%M:%S}.123456000 Z\n"
            )
    found["assignment_1_export/submission_metadata.yml"] = f"---\n{''.join(told)}".encode()
    return found


@system
def ilias(students):
    found = {}
    for (name, number), attempts in students.items():
        first, last = f"{name} x".replace("_", "-").split(" ", 1)
        for i, content in enumerate(attempts):
            when = at(i).strftime("%Y%m%d%H%M%S")
            found[f"Übung/Abgaben/{last}_{first}_u{number}_{number}/{when}_lab1.ipynb"] = content
    return found


@system
def nbgrader(students):
    found = {}
    for (name, number), attempts in students.items():
        found[f"submitted/{name}-{number}/lab1/lab1.ipynb"] = attempts[-1]
        found[f"submitted/{name}-{number}/lab1/timestamp.txt"] = f"{at(0)}.000000 UTC".encode()
    return found


def login(name):
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def lay(folder, files):
    """Write files; each later one is newer."""
    for age, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (age + 1e9, age + 1e9))
    return folder


def packed(files):
    """The files as the bytes of a ZIP archive; each later one is newer."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for age, (name, content) in enumerate(files.items()):
            when = (datetime(2026, 11, 1) + timedelta(minutes=age)).timetuple()[:6]
            archive.writestr(zipfile.ZipInfo(name, when), content)
    return buffer.getvalue()
