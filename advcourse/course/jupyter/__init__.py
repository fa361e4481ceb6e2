"""The course in JupyterLab, with settings that hold for this process alone: the folders `everyone` and `learner`."""

from advcourse.course.jupyter.server import start

__all__ = ["start"]
