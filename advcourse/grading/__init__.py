"""Grading a class: the trusted grader, the sandbox that runs the students' code, and what comes of it.

`submission` reads a notebook and finds its answers (`parsing`, `slicing`; `everything`: what names do not lead to; `broken`:
why there is none; `likeness`: which are the same); `signs` says what in it is worth a look. `reading` has that done in a
process with limits, and is what the grader calls. `sandbox` starts the process that runs the answers, `watch` bounds it,
`staging` makes the library that it sees, `worker` is what runs inside (`loading`: how an answer becomes a function;
`notebook`: what a notebook offers to it; `refusals`: what it may not do; `traces`: what it may have left to the next one),
`wire` what passes between. `grader` judges what `asking` brings back, and gives a `report`.

`dryrun` is that for one student. `classroom` does it for the submissions that `folders` finds: `archives` has the files, `owners`
says whose they are, `layouts` how learning systems name them. `writing` says what is written then: `feedback` and `overview` are
pages, `gradebook`, `roster` and `nbgrader_gradebook` hold the points.
"""
