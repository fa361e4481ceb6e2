"""What the lab's notebook gives: tables of Android's names, the parts of a program, the pocket phone, and what may be added."""

from typing import NamedTuple

from advcourse.data.apps.android import APIS, BROADCASTS, NAMESPACE, RESTRICTED
from advcourse.data.apps.android import SUSPICIOUS as _SUSPICIOUS
from advcourse.data.apps.phone import PocketPhone, Trace
from advcourse.data.apps.program import parse_program

ANDROID = f"{{{NAMESPACE}}}"  # before the name of an attribute, as ElementTree writes it
KINDS = ("activity", "activity-alias", "service", "receiver", "provider")
PERMISSION_OF = dict(RESTRICTED)  # call -> the permission that it needs; calls that need none are not there
HARDWARE_OF = {name: api.hardware for name, api in APIS.items() if api.hardware}
SUSPICIOUS = frozenset(_SUSPICIOUS)  # the calls of S7
ADDRESSED = frozenset({"HttpURLConnection.get", "HttpURLConnection.post", "DexClassLoader.loadClass"})
PERMISSION_FOR = dict(
    BROADCASTS.values()
)  # broadcast -> the permission that an app needs to get it, "" for none

# What detectors of this lab may read in a manifest. An attacker has such a list: DREBIN's is public.
CANDIDATES = (
    *(
        f"feature::android.hardware.{name}"
        for name in "bluetooth camera.flash fingerprint location.gps microphone nfc screen.portrait sensor.compass "
        "sensor.gyroscope sensor.heartrate telephony touchscreen".split()
    ),
    *(
        f"permission::android.permission.{name}"
        for name in "ACCESS_COARSE_LOCATION ACCESS_FINE_LOCATION BLUETOOTH BODY_SENSORS CAMERA GET_ACCOUNTS INSTALL_SHORTCUT "
        "MODIFY_AUDIO_SETTINGS NFC READ_CALENDAR READ_CONTACTS READ_EXTERNAL_STORAGE READ_SYNC_SETTINGS RECEIVE_SMS "
        "USE_FINGERPRINT VIBRATE WRITE_CALENDAR".split()
    ),
    *(
        f"activity::{name}"
        for name in ".AboutActivity .BookmarksActivity .EditActivity .HelpActivity com.mapleaf.MapView".split()
    ),
    "service::.SyncService",
    "service::com.pushbell.PushService",
    "receiver::.WidgetReceiver",
    "receiver::com.tallyhub.analytics.InstallReceiver",
    "provider::com.crashnote.StartProvider",
    "intent::android.intent.action.USER_PRESENT",
    "intent::android.net.conn.CONNECTIVITY_CHANGE",
    "intent::android.intent.action.SEND",
    "intent::android.intent.category.DEFAULT",
)


class CallLine(NamedTuple):
    """One call of a program: the class and the event in which it stands, the API, its argument, and the permission of the
    `ifperm` before it ("" for none)."""

    owner: str
    event: str
    api: str
    argument: str
    guard: str


def calls(program: str) -> list[CallLine]:
    """All calls of a program, in the order of its text."""
    found = parse_program(program).classes.items()
    return [
        CallLine(owner, event, call.api, call.argument, call.permission)
        for owner, handlers in found
        for event, own in handlers.items()
        for call in own
    ]


def classes(program: str) -> list[str]:
    """The names of a program's classes, as they stand there; a class may have no call."""
    return list(parse_program(program).classes)


def phone(manifest: str, program: str) -> Trace:
    """Install an app on the pocket phone and play a day with it.

    Two apps behave in the same way if their traces are equal (==). `trace.refused` says why the phone did not install the app,
    "" if it did; print(trace) shows the log.

    Raises `InputError` for a manifest or program that cannot be read.
    """
    return PocketPhone().run(manifest, program)
