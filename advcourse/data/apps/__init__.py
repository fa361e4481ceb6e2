"""Toy Android apps: a manifest and a program, a pocket phone that runs them, and the features that detectors read."""

from advcourse.data.apps.appset import AppSet
from advcourse.data.apps.example import TORCH
from advcourse.data.apps.features import CODE, MANIFEST, SETS, Vocabulary, extract, reachable_calls, set_of
from advcourse.data.apps.making import App, make
from advcourse.data.apps.manifest import Component, Manifest, parse_manifest, relative
from advcourse.data.apps.phone import Effect, PocketPhone, Trace
from advcourse.data.apps.program import Call, Program, parse_program

__all__ = [
    "CODE",
    "MANIFEST",
    "SETS",
    "TORCH",
    "App",
    "AppSet",
    "Call",
    "Component",
    "Effect",
    "Manifest",
    "PocketPhone",
    "Program",
    "Trace",
    "Vocabulary",
    "extract",
    "make",
    "parse_manifest",
    "parse_program",
    "reachable_calls",
    "relative",
    "set_of",
]
