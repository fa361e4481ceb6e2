"""The course in JupyterLab, with settings for this process only, in the folders `everyone` and `learner`."""

from advcourse.course.jupyter.server import start

__all__ = ["start"]
