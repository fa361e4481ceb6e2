"""Notebook files for the tests of what reads them."""

import json

from lab_tests import ROOT

from advcourse.labs.release import labs

LABS = labs()


def file(*cells, **more):
    """The bytes of a notebook of code cells, given by their source, or of cells given whole."""
    whole = [c if isinstance(c, dict) else {"cell_type": "code", "source": c, "outputs": []} for c in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": whole, **more}).encode()


def stored(lab, folder="solutions"):
    """The bytes of a lab's notebook."""
    return (ROOT / folder / lab / f"{lab}.ipynb").read_bytes()
