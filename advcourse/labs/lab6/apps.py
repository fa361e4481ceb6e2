"""What the judge of lab 6 asks about: fresh apps, the same app spelt in other ways, and how two texts or sets are compared."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from advcourse.core.errors import InputError
from advcourse.data.apps import App, Manifest, Trace, extract, make, parse_manifest
from advcourse.data.apps.phone import PocketPhone
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.verdicts import Finding

SETS = tuple(f"S{i}" for i in range(1, 9))
IN_MANIFEST = SETS[:4]


class AppTask(Task):
    """A task about apps: its cases hold no images."""

    def case(self, draw: Draw, **overrides: Any) -> Case:
        """A fresh question of this task's settings; `overrides` replace some."""
        values = {**self.settings(draw, None), **overrides}
        kept = {name: values[name] for name in self.parameters if name != "model"}
        return Case(values.get("model"), torch.zeros(1), kept)


def drawn(draw: Draw, accepts: Callable[[App], bool] = lambda app: True) -> App:
    """A fresh app, of those that `accepts` takes; the shipped ones have smaller seeds."""
    return next(app for app in (make(10**8 + draw.integer()) for _ in range(2000)) if accepts(app))


def run(manifest: str, program: str) -> Trace:
    """What an app does on the pocket phone."""
    return PocketPhone().run(manifest, program)


def declared(manifest: str) -> set[str]:
    """The features of S1 to S4, by the library's own reader."""
    found = extract(manifest, "")
    return set().union(*(found[name] for name in IN_MANIFEST))


def canonical(manifest: str) -> str:
    """The manifest without what means nothing in XML: order of attributes, quotes, prefixes, comments, space between elements."""
    return ET.canonicalize(manifest, strip_text=True, rewrite_prefixes=True)


def read(found: str) -> Manifest:
    """The manifest that an answer returned; a `Finding` where it is none."""
    try:
        return parse_manifest(found)
    except InputError as error:
        told = str(error)
    if "lacks android:name" in told:
        raise Finding(
            "namespace",
            "An element of your manifest has no android:name. To ElementTree the attribute is called ANDROID + 'name', the "
            f"namespace in front; a plain name is another attribute. The phone says: {told}",
        )
    why = (
        " Is `android:` declared as a prefix here? A manifest may use another, and ElementTree writes one of its own."
        if "unbound prefix" in told
        else ""
    )
    raise Finding(
        "no manifest", f"What you return is no manifest that the phone can read. It says: {told}.{why}"
    )


def lost(before: str, after: str) -> list[str]:
    """What the manifest `before` has, and `after` lacks: features, and all that is said of components and hardware; sorted."""
    old, new = parse_manifest(before), parse_manifest(after)
    gone = sorted(declared(before) - declared(after))
    kept = {component.name: component for component in new.components}
    for component in old.components:
        twin = kept.get(component.name, component)
        if (component.enabled, component.target) != (twin.enabled, twin.target):
            gone.append(f"what is said of {component.name}")
        if _names(component) - _names(twin):
            gone.append(f"a filter of {component.name}")
    gone += [f"required of {name}" for name, _ in sorted(set(old.hardware) - set(new.hardware))]
    return sorted(set(gone))


def _names(component):
    return {name for pair in component.filters for names in pair for name in names}


# An app with more of everything

_FIRST_ACTIVITY = '<activity android:name=".MainActivity">'
_MORE = """<activity-alias android:name=".StartAlias" android:targetActivity=".MainActivity"/>
    <service android:name=".OffService" android:enabled="false"/>
    <receiver android:name="org.elsewhere.Shared">
      <intent-filter>
        <action android:name="org.elsewhere.SHARED"/>
      </intent-filter>
      <intent-filter>
        <action android:name="android.intent.action.SEND"/>
        <category android:name="android.intent.category.DEFAULT"/>
        <data android:mimeType="text/plain"/>
      </intent-filter>
    </receiver>
    """
_DEAD = """class .NeverStarted
  on run
    call Settings.putInt volume
    call ClipboardManager.getText text
    call Calendar.query week
    ifperm android.permission.READ_CALL_LOG 1
    call CallLog.query all
    call HttpURLConnection.get dead.example
    call DexClassLoader.loadClass parts.example
    call HttpURLConnection.post logs.example
    ifperm android.permission.SET_ALARM 4
    call HttpURLConnection.get guarded.example
    call System.loadLibrary guarded
    call Method.invoke guarded
    call Runtime.exec guarded
    call MediaPlayer.start dead
    call Base64.decode dead
"""
_HARDWARE = """  <uses-feature android:name="android.hardware.nfc" android:required="false"/>
  <uses-feature android:name="android.hardware.touchscreen"/>
  <uses-permission android:name="android.permission.READ_CALENDAR"/>
  <uses-permission android:name="android.permission.SET_ALARM"/>
  <uses-permission android:name="android.permission.SET_TIME_ZONE"/>
"""


def richer(app: App) -> App:
    """The app with what each of the sets is easily got wrong by: an alias, two filters, a component that is off, dead code, and
    guards of what is needed and of what is not."""
    manifest = app.manifest.replace(_FIRST_ACTIVITY, _MORE + _FIRST_ACTIVITY, 1)
    new = "".join(f"{line}\n" for line in _HARDWARE.splitlines() if line.split('"')[1] not in manifest)
    manifest = manifest.replace("  <application", new + "  <application", 1)
    return replace(app, manifest=manifest, program=app.program + _DEAD)


def an_app(draw: Draw, x: None = None) -> dict[str, str]:
    """A fresh app with more of everything."""
    app = richer(drawn(draw))
    return {"manifest": app.manifest, "program": app.program}


# Other spellings of the same manifest. All drawn manifests are written in one way, so that their text can be replaced.

_ELEMENT = re.compile(r'<([a-z][\w-]*)((?:\s+[\w:]+="[^"]*")+)(\s*/?)>')


def _turned(match):
    attributes = re.findall(r'[\w:]+="[^"]*"', match[2])
    if len(attributes) == 1 and match[1] != "manifest":
        attributes.append('android:description="@string/what"')
    return f"<{match[1]} {' '.join(reversed(attributes))}{match[3]}>"


def turned(manifest: str) -> str:
    """The attributes of each element in another order; some have one more."""
    return _ELEMENT.sub(_turned, manifest)


def quoted(manifest: str) -> str:
    """Single quotes."""
    head, rest = manifest.split("\n", 1)
    return head + "\n" + re.sub(r'="([^"]*)"', r"='\1'", rest)


def renamed(manifest: str) -> str:
    """Another prefix for Android's namespace."""
    return manifest.replace(" android:", " a:").replace("xmlns:android", "xmlns:a")


def commented(manifest: str) -> str:
    """Elements in remarks, which count as nothing."""
    permission = '  <!-- <uses-permission android:name="android.permission.READ_LOGS"/> -->\n'
    activity = '    <!-- for tests:\n    <activity android:name=".OldActivity"/>\n    -->\n'
    text = manifest.replace("  <application", permission + "  <application", 1)
    return text.replace("  </application>", activity + "  </application>", 1)


def in_full(manifest: str) -> str:
    """The names of the app's own classes with the package in front."""
    return re.sub(
        r'android:name="\.(\w+)"', rf'android:name="{parse_manifest(manifest).package}.\1"', manifest
    )


def bare(manifest: str) -> str:
    """The names of the app's own classes without the leading dot."""
    return re.sub(r'android:name="\.(\w+)"', r'android:name="\1"', manifest)


def asked(student: Student, case: Case) -> str:
    """The manifest that an answer returns, as text that the phone can read."""
    text = student.text(case)
    read(text)
    return text
