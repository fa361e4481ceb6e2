"""Lab 6: additions become elements of the manifest, and the app stays what it was."""

import re
import xml.etree.ElementTree as ET
from xml.dom import minidom

from advcourse.labs.exercises import exercise
from advcourse.labs.lab6.apps import AppTask
from advcourse.labs.lab6.editing import (
    adds_nothing_if_nothing_is_asked,
    an_edit,
    edits,
    in_another_spelling,
    with_an_icon_to_lose,
    without_an_icon,
)
from advcourse.labs.lab6.extract import extract
from advcourse.labs.lab6.given import ANDROID
from advcourse.labs.lab6.reading import NAME, components
from advcourse.labs.properties import answers, leaves_nothing_behind, other_device


def there(manifest):
    """The features that a manifest has."""
    return set().union(*extract(manifest, "").values())


def holds(parent, intents):
    """Put a filter with these intents into a component."""
    inside = ET.SubElement(parent, "intent-filter")
    for name in intents:
        ET.SubElement(inside, "category" if ".category." in name else "action", {NAME: name})


def edited(manifest, additions, hardware=None, provider=None, hold=None, known=True):
    """The careful edit, with some of its precautions changed.

    hardware, provider: more attributes of these (default: not required, switched off); hold(application, intents): where intents
    go; known: whether what is there already is left out.
    """
    hardware = {ANDROID + "required": "false"} if hardware is None else hardware
    provider = {ANDROID + "enabled": "false"} if provider is None else provider
    root = ET.fromstring(manifest)
    application, intents = root.find("application"), []
    for feature in additions:
        kind, name = feature.split("::")
        if known and feature in there(manifest):
            continue
        if kind == "feature":
            ET.SubElement(root, "uses-feature", {NAME: name, **hardware})
        elif kind == "permission":
            ET.SubElement(root, "uses-permission", {NAME: name})
        elif kind == "intent":
            intents.append(name)
        else:
            ET.SubElement(application, kind, {NAME: name, **(provider if kind == "provider" else {})})
    (hold or of_their_own)(application, intents)
    return ET.tostring(root, encoding="unicode")


def of_their_own(application, intents):
    """Each intent in the filter of a new activity, which nothing starts."""
    for i, name in enumerate(intents):
        holds(ET.SubElement(application, "activity", {NAME: f".Holder{i}"}), [name])


@exercise(
    "Write it into the manifest",
    4,
    an_edit,
    (
        "root = ET.fromstring(manifest); ET.SubElement(root, 'uses-permission', {ANDROID + 'name': name}) adds an element; "
        "ET.tostring(root, encoding='unicode') gives the text. Components go into root.find('application'). Leave out what is "
        "there already.",
        "Ask of each kind what the phone would do. Hardware refuses the app unless it is not required. A provider is started "
        "with the app, and crashes without a class: ANDROID + 'enabled': 'false'. A receiver's filter wakes it up.",
        "Give each intent an activity of its own, with a name that is new, and in it one intent-filter with one action (or, if "
        "'.category.' is in the name, one category). No broadcast reaches an activity, and MAIN without LAUNCHER in the same "
        "filter is no icon.",
    ),
    numbers="text",
    kind=AppTask,
)
def edit(manifest, additions):
    return edited(manifest, additions)


@edit.wrong("hardware required")
def required_as_ever(manifest, additions):
    return edited(manifest, additions, hardware={})


@edit.wrong("hardware required")
def required_without_its_namespace(manifest, additions):
    return edited(manifest, additions, hardware={"required": "false"})


def with_tags(manifest, additions, tag):
    """The careful edit, with all new intents in elements of one kind."""
    root = ET.fromstring(edited(manifest, additions))
    for activity in root.iter("activity"):
        if activity.get(NAME).startswith(".Holder"):
            activity[0][0].tag = tag
    return ET.tostring(root, encoding="unicode")


@edit.wrong("action or category")
def every_intent_an_action(manifest, additions):
    return with_tags(manifest, additions, "action")


@edit.wrong("action or category")
def every_intent_a_category(manifest, additions):
    return with_tags(manifest, additions, "category")


@edit.wrong("live receiver")
def into_the_first_receiver(manifest, additions):
    def hold(application, intents):
        receiver = application.find("receiver")
        if receiver is None:
            of_their_own(application, intents)
        else:
            holds(receiver, intents)

    return edited(manifest, additions, hold=hold)


@edit.wrong("live receiver")
def into_every_filter(manifest, additions):
    def hold(application, intents):
        for inside in application.iter("intent-filter"):
            for name in intents:
                if ".category." not in name:
                    ET.SubElement(inside, "action", {NAME: name})
        of_their_own(application, [name for name in intents if ".category." in name])

    return edited(manifest, additions, hold=hold)


@edit.wrong("second icon")
def all_in_one_filter(manifest, additions):
    def hold(application, intents):
        if intents:
            holds(ET.SubElement(application, "activity", {NAME: ".Holder"}), intents)

    return edited(manifest, additions, hold=hold)


@edit.wrong("second icon")
def into_the_filter_of_the_first_activity(manifest, additions):
    def hold(application, intents):
        inside = application.find("activity/intent-filter")
        for name in intents:
            if inside is not None:
                ET.SubElement(inside, "category" if ".category." in name else "action", {NAME: name})
        of_their_own(application, intents if inside is None else [])

    return edited(manifest, additions, hold=hold)


@edit.wrong("duplicate")
def again(manifest, additions):
    return edited(manifest, additions, known=False)


@edit.wrong("declared again")
def permissions_again(manifest, additions):
    root = ET.fromstring(edited(manifest, additions))
    for feature in additions:
        kind, name = feature.split("::")
        if kind == "permission" and feature in there(manifest):
            ET.SubElement(root, "uses-permission", {NAME: name})
    return ET.tostring(root, encoding="unicode")


@edit.wrong("declared again")
def hardware_again(manifest, additions):
    root = ET.fromstring(edited(manifest, additions))
    for feature in additions:
        kind, name = feature.split("::")
        if kind == "feature" and feature in there(manifest):
            ET.SubElement(root, "uses-feature", {NAME: name, ANDROID + "required": "false"})
    return ET.tostring(root, encoding="unicode")


@edit.wrong("duplicate")
def one_name_for_all(manifest, additions):
    def hold(application, intents):
        for name in intents:
            holds(ET.SubElement(application, "activity", {NAME: ".Holder"}), [name])

    return edited(manifest, additions, hold=hold)


@edit.wrong("provider")
def provider_switched_on(manifest, additions):
    return edited(manifest, additions, provider={})


@edit.wrong("namespace")
def names_without_a_namespace(manifest, additions):
    root = ET.fromstring(manifest)
    for feature in additions:
        kind, name = feature.split("::")
        if kind == "permission":
            ET.SubElement(root, "uses-permission", {"name": name})
    return ET.tostring(root, encoding="unicode")


@edit.wrong("wrong place")
def all_inside_the_application(manifest, additions):
    root = ET.fromstring(edited(manifest, additions))
    for tag in ("uses-feature", "uses-permission"):
        for element in root.findall(tag)[1:]:
            if f"{tag.removeprefix('uses-')}::{element.get(NAME)}" not in there(manifest):
                root.remove(element)
                root.find("application").append(element)
    return ET.tostring(root, encoding="unicode")


@edit.wrong("wrong place")
def components_outside(manifest, additions):
    root, old = ET.fromstring(edited(manifest, additions)), len(components(ET.fromstring(manifest)))
    for component in components(root)[old:]:
        root.find("application").remove(component)
        root.append(component)
    return ET.tostring(root, encoding="unicode")


@edit.wrong("missing")
def permissions_and_hardware_alone(manifest, additions):
    return edited(manifest, [name for name in additions if name.startswith(("permission", "feature"))])


@edit.wrong("missing")
def intents_left_out(manifest, additions):
    return edited(manifest, [name for name in additions if not name.startswith("intent")])


@edit.wrong("lost")
def written_anew(manifest, additions):
    wanted = [*sorted(name for name in there(manifest) if "intent" not in name), *additions]
    root = ET.fromstring(manifest)
    bare = ET.Element("manifest", {"package": root.get("package")})
    ET.SubElement(bare, "application")
    return edited(ET.tostring(bare, encoding="unicode"), list(dict.fromkeys(wanted)))


@edit.wrong("lost")
def nothing_required_any_more(manifest, additions):
    root = ET.fromstring(edited(manifest, additions))
    for element in root.iter("uses-feature"):
        element.set(ANDROID + "required", "false")
    return ET.tostring(root, encoding="unicode")


@edit.wrong("no manifest")
def half_by_text(manifest, additions):
    rest = [name for name in additions if not name.startswith("permission")]
    text = edited(manifest, rest)
    for feature in additions:
        kind, name = feature.split("::")
        if kind == "permission" and feature not in there(manifest):
            new = f'<uses-permission android:name="{name}"/>\n  <application'
            text = re.sub("<application", new, text, count=1)
    return text


@edit.wrong("type")
def bytes_of_it(manifest, additions):
    return edited(manifest, additions).encode()


@edit.wrong("nothing added")
def unchanged(manifest, additions):
    return manifest


@edit.wrong("more than asked")
def asks_for_everything(manifest, additions):
    return edited(manifest, [*additions, "feature::android.hardware.sensor.barometer"])


@edit.wrong("crash")
def the_application_by_its_namespace(manifest, additions):
    root = ET.fromstring(manifest)
    root.find(ANDROID + "application").append(ET.Element("activity"))
    return ET.tostring(root, encoding="unicode")


@edit.right
def by_minidom(manifest, additions):
    document, space = minidom.parseString(manifest), ANDROID[1:-1]
    root = document.documentElement
    application = root.getElementsByTagName("application")[0]
    prefix = next(a.localName for a in root.attributes.values() if a.value == space)

    def new(parent, tag, name, **more):
        element = parent.appendChild(document.createElement(tag))
        for key, value in {"name": name, **more}.items():
            element.setAttributeNS(space, f"{prefix}:{key}", value)
        return element

    count = 0
    for feature in additions:
        kind, name = feature.split("::")
        if feature in there(manifest):
            continue
        if kind in ("feature", "permission"):
            new(root, f"uses-{kind}", name, **({"required": "false"} if kind == "feature" else {}))
        elif kind == "intent":
            holder = new(application, "activity", f"org.holders.Holder{count}")
            inside = holder.appendChild(document.createElement("intent-filter"))
            new(inside, "category" if "category" in name else "action", name)
            count += 1
        else:
            new(application, kind, name, enabled="false")
    return document.toxml()


@edit.right
def filters_in_the_first_activity(manifest, additions):
    def hold(application, intents):
        activity = application.find("activity")
        for name in intents:
            holds(activity, [name])

    return edited(manifest, additions, hold=hold)


@edit.right
def all_at_the_front(manifest, additions):
    root, before = ET.fromstring(edited(manifest, additions)), ET.fromstring(manifest)
    for i, element in enumerate(list(root)[len(before) :]):
        root.remove(element)
        root.insert(i, element)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


edit.checks(
    answers,
    edits(an_edit),
    edits(without_an_icon),
    edits(with_an_icon_to_lose),
    edits(in_another_spelling),
    adds_nothing_if_nothing_is_asked,
    other_device,
    leaves_nothing_behind,
)
