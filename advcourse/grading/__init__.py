"""Grading a class: the trusted grader, the sandbox that runs the students' code, and what comes of it.

`submission` reads a notebook and finds its answers (`parsing`, `slicing`); `signs` says what in it is worth a look. `sandbox`
starts the process that runs them, `watch` bounds what it takes, `staging` makes the library that it sees, `worker` is what runs
inside, `wire` what passes between. `grader` judges what `asking` brings back, and gives a `report`. `classroom` does so for a
folder of submissions; `gradebook`, `feedback` and `overview` write down what came of it.
"""
