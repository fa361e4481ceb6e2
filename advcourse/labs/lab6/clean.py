"""Lab 6: the lint that takes out of a manifest what the app has no use for."""

import re
import xml.etree.ElementTree as ET
from xml.dom import minidom

from advcourse.labs.comparing import gives
from advcourse.labs.exercises import exercise
from advcourse.labs.lab6.apps import (
    AppTask,
)
from advcourse.labs.lab6.cleaning import (
    BY_MEANING,
    keeps_what_is_switched_off,
    leaves_a_clean_app,
    several,
    works_in_another_spelling,
)
from advcourse.labs.lab6.given import (
    ANDROID,
    HARDWARE_OF,
    PERMISSION_FOR,
    PERMISSION_OF,
    calls,
    classes,
)
from advcourse.labs.lab6.leftovers import an_app_with_leftovers
from advcourse.labs.lab6.reading import NAME, components, short
from advcourse.labs.properties import answers, leaves_nothing_behind, other_device

TARGET = ANDROID + "targetActivity"


def cleaned(
    manifest,
    program,
    uses=lambda program: calls(program),
    guards=True,
    broadcasts=lambda component, own: component.tag == "receiver" and component in own,
    write=short,
    alias=True,
    keep=("hardware", "permissions", "components"),
):
    """The manifest without what has no use; each argument turns one rule off, or puts another in its place."""
    root = ET.fromstring(manifest)
    package, application, found = root.get("package"), root.find("application"), uses(program)
    there = {write(name, package) for name in classes(program)}

    def runs(component):
        return write((alias and component.get(TARGET)) or component.get(NAME), package)

    own = [component for component in components(root) if runs(component) in there]
    needed = {PERMISSION_OF.get(call.api) for call in found}
    needed |= {call.guard for call in found} if guards else set()
    for component in components(root):
        if broadcasts(component, own):
            needed |= {PERMISSION_FOR.get(action.get(NAME)) for action in component.iter("action")}
    hardware = {HARDWARE_OF.get(call.api) for call in found}
    if "components" in keep:
        for component in set(components(root)) - set(own):
            application.remove(component)
    for tag, wanted in (("uses-feature", hardware), ("uses-permission", needed)):
        for element in root.findall(tag):
            kind = "hardware" if tag == "uses-feature" else "permissions"
            if kind in keep and element.get(NAME) not in wanted:
                root.remove(element)
    return ET.tostring(root, encoding="unicode")


@exercise(
    "The lint",
    3,
    an_app_with_leftovers,
    (
        "Three questions: does a call use the hardware (HARDWARE_OF)? Is the component's class in the program (classes)? And "
        "who needs the permission: a call (PERMISSION_OF), an ifperm (call.guard), or a broadcast that a receiver gets "
        "(PERMISSION_FOR)?",
        "Compare names of classes in one spelling: .Main, Main and org.example.x.Main are one class of org.example.x. An "
        "activity-alias runs the class in ANDROID + 'targetActivity'. Only a receiver whose class is there counts for a "
        "broadcast.",
        "Collect `needed`, the permissions to keep, first. Then for each element of list(root): root.remove(element) if it has "
        "no use, and the same for list(application). A list, since you change what you walk over.",
    ),
    numbers="text",
    kind=AppTask,
)
def clean(manifest, program):
    return cleaned(manifest, program)


@clean.slip(
    "guarded code",
    "You drop permissions that only an `ifperm` asks for. The guarded calls run if the permission is there; without it the app "
    "does less than before. Keep every call.guard.",
)
def without_guards(manifest, program):
    return cleaned(manifest, program, guards=False)


@clean.slip("guarded code")
def guarded_calls_do_not_count(manifest, program):
    return cleaned(
        manifest, program, lambda program: [call for call in calls(program) if not call.guard], guards=False
    )


@clean.slip(
    "broadcasts",
    "You drop permissions that no call needs, but a receiver does: without RECEIVE_BOOT_COMPLETED the app is not told that the "
    "phone has started. Look the actions of its receivers up in PERMISSION_FOR.",
)
def without_broadcasts(manifest, program):
    return cleaned(manifest, program, broadcasts=lambda component, own: False)


@clean.slip(
    "dead receivers",
    "You keep a permission for a receiver whose class is not there. Nobody gets that broadcast: first see which components stay.",
)
def all_receivers_count(manifest, program):
    return cleaned(manifest, program, broadcasts=lambda component, own: component.tag == "receiver")


@clean.slip(
    "not only receivers",
    "You keep a permission for the filter of an activity or a service. Broadcasts reach receivers alone.",
)
def every_filter_counts(manifest, program):
    return cleaned(manifest, program, broadcasts=lambda component, own: component in own)


@clean.slip(
    "nothing starts it",
    "You drop components that no filter and no call starts. The rule is simpler: a component stays if its class is in the "
    "program. A lint that guesses what will run breaks apps.",
)
def only_what_is_started(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    started = {short(call.argument, root.get("package")) for call in calls(program)}
    for component in components(root):
        if (
            component.find("intent-filter") is None
            and short(component.get(NAME), root.get("package")) not in started
        ):
            if component.tag not in ("provider", "activity-alias"):
                root.find("application").remove(component)
    return ET.tostring(root, encoding="unicode")


@clean.slip(
    "receivers dropped",
    "You drop receivers because no call starts them. The phone does: a receiver whose class is in the program is alive.",
)
def no_receivers(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    for receiver in root.findall("application/receiver"):
        root.find("application").remove(receiver)
    return ET.tostring(root, encoding="unicode")


@clean.slip(
    "names as written",
    "You compare the names of classes as they are written. .Main in the program may be org.example.x.Main in the manifest: "
    "bring both into one spelling first.",
)
def names_as_written(manifest, program):
    return cleaned(manifest, program, write=lambda name, package: name)


@clean.slip(
    "aliases",
    "You look for the class of an activity-alias under the alias's own name. It runs its targetActivity, and stays if that is "
    "there.",
)
def aliases_by_their_name(manifest, program):
    return cleaned(manifest, program, alias=False)


@clean.slip(
    "components left",
    "The components without a class are still there. What has no class cannot run: drop it.",
)
def components_left(manifest, program):
    return cleaned(manifest, program, keep=("hardware", "permissions"))


@clean.slip("hardware left", "The hardware that no call uses is still there: see HARDWARE_OF.")
def hardware_left(manifest, program):
    return cleaned(manifest, program, keep=("permissions", "components"))


@clean.slip("permissions left", "The permissions that nobody needs are still there.")
def permissions_left(manifest, program):
    return cleaned(manifest, program, keep=("hardware", "components"))


@clean.slip(
    "all hardware",
    "You drop all hardware. What a call uses stays: the phone must be asked whether it has it.",
)
def no_hardware(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    for element in root.findall("uses-feature"):
        root.remove(element)
    return ET.tostring(root, encoding="unicode")


@clean.slip(
    "optional hardware",
    "You go by android:required: hardware may be optional and used, or required and of no use. Ask the calls.",
)
def by_required(manifest, program):
    root = ET.fromstring(cleaned(manifest, program, keep=("permissions", "components")))
    for element in root.findall("uses-feature"):
        if element.get(ANDROID + "required") == "false":
            root.remove(element)
    return ET.tostring(root, encoding="unicode")


@clean.slip(
    "every second one",
    "Some of what should go is still there: you remove elements from what you are walking over, so that the next one is "
    "skipped. Walk over a copy: for element in list(root).",
)
def removes_while_it_walks(manifest, program):
    root = ET.fromstring(manifest)
    kept = ET.fromstring(cleaned(manifest, program))
    for parent, good in ((root, kept), (root.find("application"), kept.find("application"))):
        names = {(element.tag, element.get(NAME)) for element in good}
        for element in parent:
            if (element.tag, element.get(NAME)) not in names:
                parent.remove(element)
    return ET.tostring(root, encoding="unicode")


@clean.right
def by_minidom(manifest, program):
    document, space = minidom.parseString(manifest), ANDROID[1:-1]
    package = document.documentElement.getAttribute("package")
    application = document.getElementsByTagName("application")[0]
    there = {short(name, package) for name in classes(program)}
    needed, hardware = set(), set()
    for call in calls(program):
        needed |= {PERMISSION_OF.get(call.api), call.guard}
        hardware.add(HARDWARE_OF.get(call.api))
    for part in list(application.childNodes):
        if part.nodeType != part.ELEMENT_NODE or not part.hasAttributeNS(space, "name"):
            continue
        if part.tagName not in ("activity", "activity-alias", "service", "receiver", "provider"):
            continue
        runs = part.getAttributeNS(space, "targetActivity") or part.getAttributeNS(space, "name")
        if short(runs, package) not in there:
            application.removeChild(part)
        elif part.tagName == "receiver":
            actions = part.getElementsByTagName("action")
            needed |= {PERMISSION_FOR.get(one.getAttributeNS(space, "name"), "") for one in actions}
    for tag, wanted in (("uses-permission", needed), ("uses-feature", hardware)):
        for element in document.getElementsByTagName(tag):
            if element.getAttributeNS(space, "name") not in wanted:
                element.parentNode.removeChild(element)
    return document.toxml()


@clean.right
def twice(manifest, program):
    return cleaned(cleaned(manifest, program), program)


@clean.wrong("more than unused")
def everything_new(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    for element in [*root.iter("uses-sdk")]:
        root.remove(element)
    return ET.tostring(root, encoding="unicode")


@clean.wrong("still in use")
def filters_lost(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    for component in components(root):
        for inside in component.findall("intent-filter")[1:]:
            component.remove(inside)
    return ET.tostring(root, encoding="unicode")


@clean.wrong("nothing dropped")
def unchanged(manifest, program):
    return manifest


@clean.wrong("still in use")
def the_first_of_each(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    root.remove(root.find("uses-permission"))
    return ET.tostring(root, encoding="unicode")


@clean.wrong("of no use")
def up_to_one(manifest, program):
    root, good = ET.fromstring(manifest), ET.fromstring(cleaned(manifest, program))
    left = [element for element in root.findall("uses-permission") if element.get(NAME) not in _names(good)]
    good.insert(1, left[0])
    return ET.tostring(good, encoding="unicode")


def _names(root):
    return {element.get(NAME) for element in root.findall("uses-permission")}


@clean.wrong("another spelling")
def by_pattern(manifest, program):
    good = ET.fromstring(cleaned(manifest, program))
    kept = _names(good) | {element.get(NAME) for element in good.findall("uses-feature")}
    for line in manifest.splitlines(keepends=True):
        found = re.search(r'<uses-(?:permission|feature) android:name="([^"]*)"', line)
        if found and found[1] not in kept and "<!--" not in line:
            manifest = manifest.replace(line, "")
    return cleaned(manifest, program, keep=("components",))


@clean.wrong("switched off")
def what_is_switched_off_goes(manifest, program):
    root = ET.fromstring(cleaned(manifest, program))
    for component in components(root):
        if component.get(ANDROID + "enabled") == "false":
            root.find("application").remove(component)
    return ET.tostring(root, encoding="unicode")


@clean.wrong("type")
def the_tree(manifest, program):
    return ET.fromstring(cleaned(manifest, program))


@clean.wrong("crash")
def removes_from_the_root(manifest, program):
    root = ET.fromstring(manifest)
    for component in components(root):
        root.remove(component)
    return ET.tostring(root, encoding="unicode")


clean.checks(
    answers,
    gives(clean, BY_MEANING, make=several),
    works_in_another_spelling,
    leaves_a_clean_app,
    keeps_what_is_switched_off,
    other_device,
    leaves_nothing_behind,
)
