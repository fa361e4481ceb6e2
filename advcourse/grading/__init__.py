"""Grade a class: the trusted grader, the sandbox that runs students' code, and the reports, pages and gradebooks that result.

- read/: `submission` reads a notebook and finds its answers, with `parsing` and `slicing`; `everything` adds what names do not
  lead to, `broken` says why there is no answer, `likeness` tells which answers are the same, and `signs` lists what a person
  should look at. `reading` has this done in a process with limits, and is what the grader calls. `folders` finds submissions:
  `archives` lists the files, `owners` says whose they are, and `layouts` knows how learning systems name them.
- run/: `sandbox` starts the process that runs the answers, `watch` keeps it within its limits, `staging` makes the library
  that it sees, and `worker` is what runs inside: `loading` turns an answer into a function, `notebook` provides what a
  notebook offers, `refusals` blocks what the process may not do, and `traces` finds what a task may have left for the next
  one. `wire` carries the messages between both sides. `grader` judges what `asking` brings back.
- tell/: `report` holds the result for one submission. `writing` writes everything for a class: `feedback` and `overview` are
  pages; `gradebook`, `roster` and `nbgrader_gradebook` hold the points.
- `classroom` grades all submissions of a class, `dryrun` one notebook for a student.
"""
