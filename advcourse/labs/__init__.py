"""The labs. `check(function)` judges a student's answer; the judge and the function share nothing but arrays and numbers.

`running` calls the function and says what came back; `checks` asks and judges, by the `properties` of a task (or `numbers`, where
its result is no image); `definitions` holds the formulas that the judge goes by, and `victims` the models; `advice` says what
torch's errors mean; `measuring` tries an attack out; `release` makes the students' notebooks.

Labs are found by their folders, so that a new one adds files and changes none: CONTRIBUTING.md says which.
"""
