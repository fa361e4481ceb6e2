"""Grading a class: the trusted grader, the sandbox that runs the students' code, and what comes of it.

`submission` reads a notebook and finds its answers (`parsing`, `slicing`); `signs` says what in it is worth a look. `sandbox`
starts the process that runs them, `watch` bounds what it takes, `staging` makes the library that it sees, `worker` is what runs
inside (`refusals`: and may not do), `wire` what passes between. `grader` judges what `asking` brings back, and gives a `report`.

`dryrun` is that for one student. `classroom` does it for the submissions that `folders` finds in a folder; `writing` says what is
written then: `feedback` and `overview` are pages, `gradebook`, `roster` and `nbgrader_gradebook` hold the points.
"""
