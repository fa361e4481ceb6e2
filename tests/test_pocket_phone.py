"""The pocket phone: the logs of small apps, and the readers of manifests and programs before odd and hostile input."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_apps import BOOT, LAUNCHER, MAIN, UNLOCK, manifest, permission, receiver

from advcourse.core.inputs import InputError
from advcourse.data.apps import (
    TORCH,
    PocketPhone,
    parse_manifest,
    parse_program,
)
from advcourse.data.apps.android import RESTRICTED

ICON = ("install", ".Main", "has an icon")


def log(manifest, program):
    """The phone's log as (event, class, text)."""
    trace = PocketPhone().run(manifest, program)
    return trace.refused or [(effect.event, effect.component, effect.text) for effect in trace.effects]


# ---- the phone, against logs written by hand ----


def test_a_day_with_an_app():
    """Against the log that the docstring of the phone promises, for an app with something to do at each event."""
    inside = MAIN + '<activity android:name=".Help"/><service android:name=".Work"/>'
    for name, action in (
        (".Boot", BOOT),
        (".Sms", "android.provider.Telephony.SMS_RECEIVED"),
        (".Unlock", UNLOCK),
        (".Network", "android.net.conn.CONNECTIVITY_CHANGE"),
    ):
        inside += receiver(name, action)
    program = """
        class .Main
          on create
            call TextView.setText hello
            call Context.startService .Work
          on click
            call Context.startActivity .Help
        class .Help
          on create
            call TextView.setText help
          on click
            call Canvas.draw picture
        class .Work
          on start
            call SharedPreferences.put work
        class .Boot
          on receive
            call Notification.notify boot
        class .Sms
          on receive
            call Notification.notify sms
        class .Unlock
          on receive
            call Notification.notify unlock
        class .Network
          on receive
            call Notification.notify network
    """
    before = [
        ICON,
        ("launch", ".Main", "shows hello"),
        ("launch", ".Work", "stores work"),
        ("tap", ".Help", "shows help"),
        ("tap", ".Help", "draws picture"),
    ]
    free = [("unlock", ".Unlock", "notifies: unlock"), ("network", ".Network", "notifies: network")]
    assert log(manifest(inside=inside), program) == before + free
    allowed = permission("RECEIVE_BOOT_COMPLETED") + permission("RECEIVE_SMS")
    more = [("boot", ".Boot", "notifies: boot"), ("sms", ".Sms", "notifies: sms")]
    assert log(manifest(allowed, inside=inside), program) == before + more + free


@pytest.mark.parametrize(
    "declared, inside, refused",
    [
        ('<uses-feature android:name="android.hardware.nfc"/>', MAIN, "INSTALL_FAILED_MISSING_FEATURE"),
        (
            '<uses-feature android:name="android.hardware.nfc" android:required="true"/>',
            MAIN,
            "android.hardware.nfc",
        ),
        ('<uses-feature android:name="android.hardware.nfc" android:required="false"/>', MAIN, None),
        ('<uses-feature android:name="android.hardware.camera"/>', MAIN, None),
        ('<uses-feature android:glEsVersion="0x00020000"/>', MAIN, None),
        ("", MAIN + '<service android:name="org.example.x.Main"/>', "MALFORMED: .Main is declared 2 times"),
    ],
)
def test_what_the_phone_refuses(declared, inside, refused):
    """Against Android's rules for `uses-feature`, and for a class that is declared twice under two spellings."""
    found = log(manifest(declared, inside=inside), "class .Main")
    assert refused in found if refused else found == [ICON]


@pytest.mark.parametrize(
    "declared, inside, program, expected",
    [
        # a second icon
        (
            "",
            MAIN + f'<activity android:name=".Two">{LAUNCHER}</activity>',
            "class .Main\nclass .Two",
            [ICON, ("install", ".Two", "has an icon")],
        ),
        # MAIN and LAUNCHER in two filters are no icon
        (
            "",
            MAIN + f'<activity android:name=".Two">{LAUNCHER.replace("/><", "/></intent-filter><intent-filter><")}</activity>',
            "class .Main",
            [ICON],
        ),
        # a filter on a receiver without a class
        (
            "",
            MAIN + receiver(".None", UNLOCK),
            "class .Main",
            [ICON, ("unlock", ".None", "CRASH: ClassNotFoundException .None")],
        ),
        # an activity without a class, which nothing starts
        ("", MAIN + '<activity android:name=".None"/>', "class .Main", [ICON]),
        # a provider without a class, and one that is switched off
        (
            "",
            MAIN + '<provider android:name=".None"/>',
            "class .Main",
            [ICON, ("launch", ".None", "CRASH: ClassNotFoundException .None")],
        ),
        ("", MAIN + '<provider android:name=".None" android:enabled="false"/>', "class .Main", [ICON]),
        # a call without its permission
        (
            "",
            MAIN,
            "class .Main\non create\ncall Vibrator.vibrate x\ncall Canvas.draw x",
            [
                ICON,
                ("launch", ".Main", "CRASH: SecurityException: Vibrator.vibrate needs android.permission.VIBRATE"),
            ],
        ),
        # guarded code, without and with the permission
        ("", MAIN, "class .Main\non create\nifperm android.permission.VIBRATE 1\ncall Vibrator.vibrate x", [ICON]),
        (
            permission("VIBRATE"),
            MAIN,
            "class .Main\non create\nifperm android.permission.VIBRATE 1\ncall Vibrator.vibrate x",
            [ICON, ("launch", ".Main", "vibrates for x")],
        ),
        # a service that is not declared does not start; an activity crashes
        (
            "",
            MAIN,
            "class .Main\non create\ncall Context.startService .S\ncall Canvas.draw x\nclass .S\non start\ncall Canvas.draw y",
            [ICON, ("launch", ".Main", "draws x")],
        ),
        (
            "",
            MAIN,
            "class .Main\non create\ncall Context.startActivity .A\nclass .A",
            [ICON, ("launch", ".Main", "CRASH: ActivityNotFoundException .A")],
        ),
        # an alias is an icon that runs its target
        (
            "",
            '<activity android:name=".Main"/>'
            f'<activity-alias android:name=".A" android:targetActivity=".Main">{LAUNCHER}</activity-alias>',
            "class .Main\non create\ncall Canvas.draw x",
            [("install", ".A", "has an icon"), ("launch", ".Main", "draws x")],
        ),
    ],
)  # fmt: skip
def test_each_trap(declared, inside, program, expected):
    """Against logs written by hand, one for each way in which an edit can break or change an app."""
    assert log(manifest(declared, inside=inside), program) == expected


def test_classes_that_start_one_another_for_ever_end():
    """Against the end that Android puts to them; twice as many calls each time would otherwise take for ever."""
    inside = MAIN + '<service android:name=".S"/>'
    loop = "call Context.startService .S\n" * 2
    found = log(manifest(inside=inside), f"class .Main\non create\n{loop}class .S\non start\n{loop}")
    assert found[-1][2] == "CRASH: StackOverflowError"
    calls = "call Canvas.draw x\n" * 3000
    found = log(manifest(), f"class .Main\non create\n{calls}")
    assert len(found) == 2002 and found[-1][2].startswith("CRASH: ANR")


def test_many_receivers_cannot_make_the_log_endless():
    """Against the bound on a day's calls: 500 receivers with 1 000 calls each would otherwise fill half a million lines."""
    inside = MAIN + "".join(receiver(f".R{i}", UNLOCK) for i in range(500))
    calls = "call Canvas.draw x\n" * 1000
    program = "class .Main\n" + "".join(f"class .R{i}\non receive\n{calls}" for i in range(50))
    program += "".join(f"class .R{i}\non receive\ncall Thread.start .R0\n" for i in range(50, 500))
    program = program.replace("on receive", "on run\n" + calls + "on receive", 1)
    assert len(log(manifest(inside=inside), program)) <= 1 + 50_000 + 500


@pytest.mark.parametrize(
    "calls, harmful",
    [
        ("SmsManager.sendTextMessage 1", True),
        ("WindowManager.addView x", True),
        ("DexClassLoader.loadClass x", True),
        ("Contacts.query all|HttpURLConnection.post a.example", True),
        ("HttpURLConnection.post a.example|Contacts.query all", False),  # read, but not sent
        ("Contacts.query all", False),
        ("HttpURLConnection.post a.example", False),
        ("Runtime.exec df", False),
    ],
)
def test_harm_is_what_happens_without_a_tap(calls, harmful):
    """Against the definition, call by call: the same calls at a tap never make an app harmful."""
    calls = calls.split("|")
    needed = "".join(f'<uses-permission android:name="{RESTRICTED.get(c.split()[0], "x")}"/>' for c in calls)
    lines = "\n".join(f"call {call}" for call in calls)
    inside = MAIN + receiver(".R", UNLOCK)
    for program, expected in (
        (f"class .Main\nclass .R\non receive\n{lines}", harmful),
        (f"class .Main\non create\n{lines}\nclass .R", harmful),
        (f"class .Main\non click\n{lines}\nclass .R", False),
    ):
        trace = PocketPhone().run(manifest(needed, inside=inside), program)
        assert trace.harmful == expected and not trace.crashed


def test_data_goes_to_what_is_started_but_not_back():
    """Against logs by hand: a service gets what was read before, its starter not what the service reads, a thread nothing."""
    inside = MAIN + '<service android:name=".S"/>'
    allowed = permission("READ_CONTACTS") + permission("INTERNET")
    post, read = "call HttpURLConnection.post a.example", "call Contacts.query all"
    for start, first, other, harmful in (
        ("call Context.startService .S", f"{read}\n%s", f"on start\n{post}", True),
        ("call Context.startService .S", f"%s\n{post}", f"on start\n{read}", False),
        ("call Thread.start .S", f"{read}\n%s", f"on run\n{post}", False),
    ):
        program = f"class .Main\non create\n{first % start}\nclass .S\n{other}"
        assert PocketPhone().run(manifest(allowed, inside=inside), program).harmful == harmful


def test_the_example_torch():
    """Against what its docstring says: an SMS at each unlock; with READ_CONTACTS it does more, and the log shows it."""
    trace = PocketPhone().run(TORCH.manifest, TORCH.program)
    assert trace.harmful and not trace.crashed and TORCH.label == 1
    assert str(trace).splitlines()[-1] == "unlock   .WidgetReceiver          SENDS AN SMS to 90000   <-- harm"
    more = TORCH.manifest.replace("  <application", "  " + permission("READ_CONTACTS") + "\n  <application")
    assert "SENDS CONTACTS to friendlogin.example   <-- harm" in str(PocketPhone().run(more, TORCH.program))


# ---- hostile manifests ----

BOMB = (
    '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12))
    + "]><manifest package='&m;'/>"
)


@pytest.mark.parametrize(
    "text, message",
    [
        (BOMB, "document type"),
        ('<!DOCTYPE m SYSTEM "file:///etc/hostname"><manifest package="a"/>', "document type"),
        ("<manifest package='a'>" + "<a>" * 100_000, "line 1: too many elements"),
        ("<manifest package='a'>" + "<a/>" * 100_000, "line 1: too many elements; allowed are 32"),
        (" " * 50_000_000, "got 50,000,000 bytes; allowed are at most 1,048,576"),
        ("", "line 1: not well-formed XML .no element found"),
        ("a manifest", "line 1: not well-formed XML"),
        ("<manifest package='a'>\n<application></manifest>", "line 2: not well-formed XML .mismatched tag"),
        ("<manifest package='a'>\0</manifest>", "not well-formed XML"),
        ("<manifest package='a'>\ud800</manifest>", "not well-formed XML"),
        ("<html package='a'/>", "line 1: its root is <html>; allowed is <manifest>"),
        ("<manifest/>", "lacks package"),
        (b"\x03\x00\x08\x00\x14\x27\x00\x00", "compiled manifest of an APK"),
        (b"\xff\xfe\x00", "not well-formed XML"),
        (b'<?xml version="1.0" encoding="klingon"?><manifest package="a"/>', "unknown encoding"),
        (
            '<?xml version="1.0" encoding="utf-8"?><manifest package="\xe4"/>'.encode("latin-1"),
            "not well-formed",
        ),
        (manifest("<uses-permission/>"), "line 1: <uses-permission> lacks android:name"),
        (manifest(inside='<activity name=".A"/>'), "<activity> lacks android:name"),
        (manifest(inside='<activity-alias android:name=".A"/>'), "lacks android:targetActivity"),
        (None, "got NoneType; allowed is XML as str or bytes"),
    ],
)
def test_hostile_manifests_get_a_sentence(text, message):
    """Against bombs and nonsense: one error in words, in bounded memory and time (far more than is needed)."""
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(InputError, match=f"^manifest: .*{message}"):
        parse_manifest(text)
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10 and peak < 30e6


@given(st.text(alphabet="<>/=\"' amnifestpckgu:\n&;!-[]", max_size=80))
def test_no_text_raises_anything_else(text):
    """Against the promise that nothing but `InputError` leaves the reader, for text made of XML's own characters."""
    for attempt in (text, text.encode(), f"<manifest package='a'>{text}"):
        try:
            parse_manifest(attempt)
        except InputError as error:
            assert str(error).startswith("manifest: ")


def test_a_manifest_as_build_tools_write_it():
    """Against a list by hand: other namespaces, metadata, queries and unknown elements are no features and no components."""
    text = """<?xml version='1.0' encoding='UTF-8' standalone='yes'?>
        <!-- made by a build tool -->
        <manifest xmlns:tools="http://schemas.android.com/tools" xmlns:a="http://schemas.android.com/apk/res/android"
            package="com.shop" a:versionCode="7" a:versionName="1.7" platformBuildVersionCode="22">
          <uses-sdk a:minSdkVersion="16"/><supports-screens a:largeScreens="true"/>
          <uses-permission-sdk-23 a:name="android.permission.CAMERA" tools:ignore="x"/>
          <permission a:name="com.shop.OWN"/>
          <queries><intent><action a:name="android.intent.action.SEND"/></intent></queries>
          <application a:name="com.shop.App" a:icon="@mipmap/icon" a:theme="@style/Main">
            <meta-data a:name="key" a:value="1"/><uses-library a:name="org.maps" a:required="false"/>
            <activity a:name="com.shop.Main" a:exported="true" a:configChanges="orientation|screenSize">
              <meta-data a:name="other" a:value="2"/>
              <intent-filter a:priority="5"><action a:name="a.VIEW"/><data a:scheme="https"/></intent-filter>
            </activity>
            <activity a:name="com.other.Screen" a:enabled="FALSE"/>
            <service a:name="Sync"><property a:name="x"/></service>
          </application>
        </manifest>"""
    parsed = parse_manifest(text)
    assert (
        parsed.package == "com.shop"
        and parsed.permissions == ("android.permission.CAMERA",)
        and not parsed.hardware
    )
    names = [(component.kind, component.name, component.enabled) for component in parsed.components]
    assert names == [
        ("activity", ".Main", True),
        ("activity", "com.other.Screen", False),
        ("service", ".Sync", True),
    ]
    assert parsed.components[0].filters == ((("a.VIEW",), ()),)
    assert parse_manifest(text.replace("UTF-8", "UTF-16").encode("utf-16")) == parsed


# ---- programs ----


@pytest.mark.parametrize(
    "program, message",
    [
        ("class .A\nclass .A", "line 2: class .A is there twice"),
        ("class", "line 1: got 'class'; allowed are 'class NAME'"),
        ("# a remark\n\njump .A", "line 3: got 'jump .A'"),
        ("on create", "line 1: 'on' stands before any class"),
        ("class .A\non Create", "line 2: got the event 'Create'; allowed are create"),
        ("class .A\non create\non create", "line 3: got the event 'create' a second time"),
        ("class .A\ncall Canvas.draw x", "line 2: a call stands outside a handler"),
        ("class .A\non create\ncall Canvas.paint x", "line 3: no API is called 'Canvas.paint'"),
        ("class .A\non create\ncall Canvas.draw", "line 3: got 'call Canvas.draw'"),
        ("class .A\non create\nifperm p 1", "line 3: ifperm guards 1 more calls than its handler has"),
        ("class .A\non create\nifperm p 2\ncall Canvas.draw x\non click", "line 3: ifperm guards 1 more"),
        (
            "class .A\non create\nifperm p x",
            "line 3: got ifperm p x; allowed is a number of calls from 1 to 1000",
        ),
        ("class .A\non create\nifperm p 2\nifperm q 1", "line 4: got ifperm q 1"),
        ("x" * 2**21, "got 2,097,152 characters"),
        (b"class .A", "got bytes; allowed is text"),
    ],
)
def test_malformed_programs_name_the_line(program, message):
    """Against the number of the line that is wrong, by hand."""
    with pytest.raises(InputError, match=f"^program: {message}"):
        parse_program(program)
