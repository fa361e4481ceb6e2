"""The tasks of lab 12, in their order."""

from advcourse.labs.checks import Lab
from advcourse.labs.lab12 import disturb, moments, rank, swap

LAB = Lab("lab12", (rank.rank, swap.swap, disturb.disturb, moments.moments))
