"""The labs. `check(function)` judges a student's answer; the judge and the function share nothing but arrays and numbers.

`running` calls the function and says what came back; `checks` asks and judges, by the `properties` of a task (or `numbers`, where
its result is no image); `definitions` holds the formulas that the judge goes by, and `victims` the models; `advice` says what
torch's errors mean; `measuring` tries an attack out; `release` makes the students' notebooks.

A new lab is a package here, as `lab1`, a notebook in `solutions/`, its right and wrong answers in `tests/museum/`, and a test
that takes over `tests/lab_tests.py`.
"""
