"""What the tests of gradebooks and class lists share: a report, and a class list of each system."""

import csv
import io

from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult, Written

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Homework (4),Lab 3 (55),Current Score\r\n"
    ",,,,,,Manual Posting,\r\n"
    "    Points Possible,,,,,5.00,10.00,(read only)\r\n"
    '"Müller, Mia",11,s11,mm@uni.edu,"A, B",1.00,,20.0\r\n'
    '"O\'Neil, Leo",12,0012,leo,A,,1.00,\r\n'
    '"Student, Test",13,,,"A",,,\r\n'
)

MOODLE = (
    "\ufeffIdentifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,Grade can be changed,"
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    '"Participant 871","Mia Müller",0017,mia@uni.edu,"Submitted for grading",,10.00,Yes,'
    '"Monday, 3 March 2025, 10:12 AM",-,\n'
    '"Participant 872","李雷",0018,lei@uni.edu,"Submitted for grading",1.00,10.00,Yes,-,-,"Well done."\n'
    '"Participant 873","Leo O\'Neil",0019,leo@uni.edu,"No submission",,10.00,Yes,-,-,\n'
)


def report(student, to_w=2, ead=0, answer="Because.", **more):
    """A report on lab 3 as if it had two tasks, of 2 and 5 points, and one written question of 3."""
    tasks = [("to_w", to_w, 2), ("ead", ead, 5)]
    results = tuple(
        TaskResult(name, name, "right" if points == most else "wrong", "Told.", points, most, 7)
        for name, points, most in tasks
    )
    question = Written("question-1", "Why?", 3, answer)
    return Report(student, "lab3", "d" * 64, BUBBLEWRAP, results, (question,), **more)


def read(path, encoding="utf-8", **kind):
    """The rows of a CSV file as lists of text."""
    return list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), **kind))


def put(path, text, encoding="utf-8"):
    """Write text with its line ends as they are; returns the path."""
    path.write_bytes(text.encode(encoding))
    return path
