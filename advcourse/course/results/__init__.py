"""Results on all held-out images, measured once and stored beside the code that made them: `load(chapter)` reads them."""

from advcourse.course.results.measured import Measurement, Rate, SmallestEps
from advcourse.course.results.stored import Result, chapters, load, refresh, stale
from advcourse.course.results.transfer import Transfer

__all__ = ["Measurement", "Rate", "Result", "SmallestEps", "Transfer", "chapters", "load", "refresh", "stale"]
