"""The labs. `check(function)` judges a student's answer; the judge and the function share nothing but arrays and numbers.

`exercises` says what a task is: the author's answer, the slips, other answers, and the properties that are asked. `checks` asks
them of a student's function, which `running` calls; `properties` has those that many tasks share, and `comparing` holds results
against the author's answer and the slips. `victims` has the models, `definitions` what the judge computes on its own copy of
them. `advice` says what torch's errors mean; `measuring` tries an attack out; `release` makes the students' notebooks.

Labs are found by their folders, so that a new one adds files and changes none: CONTRIBUTING.md says which.
"""
