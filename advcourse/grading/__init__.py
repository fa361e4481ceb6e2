"""Grading a class: the trusted grader, the sandbox that runs the students' code, and what comes of it.

`submission` reads a notebook and finds the answers in it; `signs` says what in it is worth a look. `sandbox` starts the process that
runs them, `staging` makes the library that it sees, `worker` is what runs inside, `wire` what passes between. `grader` asks and judges,
and gives a `report`. `classroom` does so for a folder of submissions; `gradebook`, `feedback` and `overview` write down what came of it.
"""
