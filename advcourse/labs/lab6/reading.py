"""What answers of lab 6 share: reading a manifest with ElementTree."""

from advcourse.labs.lab6.given import ANDROID, KINDS


def named(prefix, names):
    return {f"{prefix}::{name}" for name in names}


def short(name, package):
    if name.startswith(package + "."):
        return name[len(package) :]
    return name if "." in name else "." + name


def names_of(elements):
    return [element.get(ANDROID + "name") for element in elements]


def components(root):
    return [element for element in root.find("application") if element.tag in KINDS]


def with_package(root, write):
    """S3, with the names written by `write(name, package)`."""
    return {
        f"{c.tag.removesuffix('-alias')}::{write(c.get(ANDROID + 'name'), root.get('package'))}"
        for c in components(root)
    }
