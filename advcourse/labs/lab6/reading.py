"""What answers of lab 6 share: reading a manifest with ElementTree."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable

from advcourse.labs.lab6.given import ANDROID, KINDS

NAME = ANDROID + "name"


def named(prefix: str, names: Iterable[str]) -> set[str]:
    """The names as features, with their prefix."""
    return {f"{prefix}::{name}" for name in names}


def short(name: str, package: str) -> str:
    """A class's name, with a leading dot in place of the package if it is in that."""
    if name.startswith(package + "."):
        return name[len(package) :]
    return name if "." in name else "." + name


def names_of(elements: Iterable[ET.Element]) -> list[str]:
    """The android:name of each element."""
    return [element.get(NAME) for element in elements]


def components(root: ET.Element) -> list[ET.Element]:
    """The components of a manifest."""
    return [element for element in root.find("application") if element.tag in KINDS]


def with_package(root: ET.Element, write: Callable[[str, str], str]) -> set[str]:
    """S3, with the names written by `write(name, package)`."""
    return {
        f"{c.tag.removesuffix('-alias')}::{write(c.get(NAME), root.get('package'))}" for c in components(root)
    }


def by_pattern(manifest: str, name: str) -> dict[str, set[str]]:
    """S1 and S2 by a regular expression for the `name` in an element."""
    tags = {"S1": "feature", "S2": "permission"}
    return {key: named(tag, re.findall(f"<uses-{tag}{name}", manifest)) for key, tag in tags.items()}
