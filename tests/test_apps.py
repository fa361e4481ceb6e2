"""The set of toy apps, and the features that detectors read of them."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from small_apps import BOOT, MAIN, manifest, permission, receiver

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data import make_apps
from advcourse.data.apps import (
    TORCH,
    AppSet,
    PocketPhone,
    Vocabulary,
    appset,
    extract,
    parse_manifest,
)
from advcourse.data.apps.android import APIS, RESTRICTED
from advcourse.data.apps.making import check

ANDROID = "{http://schemas.android.com/apk/res/android}"

# ---- features ----


def test_the_eight_sets_of_a_small_app():
    """Against DREBIN's sets, written down by hand for the example; the order and quotes of attributes change nothing."""
    android = "android.permission."
    expected = {
        "S1": {"feature::android.hardware.camera.flash"},
        "S2": {f"permission::{android}{name}" for name in ("FLASHLIGHT", "INTERNET", "SEND_SMS")},
        "S3": {"activity::.MainActivity", "receiver::.WidgetReceiver"},
        "S4": {
            "intent::android.intent.action.MAIN",
            "intent::android.intent.category.LAUNCHER",
            "intent::android.intent.action.USER_PRESENT",
        },
        "S5": {
            "api_call::Torch.setMode",
            "api_call::Vibrator.vibrate",
            "api_call::Contacts.query",
            "api_call::HttpURLConnection.post",
            "api_call::SmsManager.sendTextMessage",
        },
        "S6": {f"real_permission::{android}{name}" for name in ("FLASHLIGHT", "INTERNET", "SEND_SMS")},
        "S7": {"call::HttpURLConnection.post", "call::Base64.decode", "call::SmsManager.sendTextMessage"},
        "S8": {"url::friendlogin.example"},
    }
    assert extract(TORCH.manifest, TORCH.program) == expected
    turned = re.sub(r'(android:name="[^"]*") (android:required="[^"]*")', r"\2 \1", TORCH.manifest)
    turned = turned.replace("xmlns:android=", "xmlns:a=").replace("android:name", "a:name").replace("'", '"')
    turned = turned.replace("android:", "a:").replace('"', "'")
    assert turned != TORCH.manifest and extract(turned, TORCH.program) == expected
    assert extract(turned.replace("utf-8", "utf-16").encode("utf-16"), TORCH.program) == expected
    reachable = extract(TORCH.manifest, TORCH.program, reachable=True)
    assert reachable["S5"] == expected["S5"] - {"api_call::Vibrator.vibrate", "api_call::Contacts.query"}


def test_code_that_nothing_starts_is_not_reachable():
    """Against an app by hand in which only one of six receivers, services and classes can run."""
    inside = (
        MAIN
        + receiver(".Boot", BOOT)
        + receiver(".Own", "org.example.OWN")
        + '<activity android:name=".Idle"/>'
    )
    inside += '<service android:name=".Service"/>'
    program = (
        "class .Main\non click\ncall Context.startService .Service\ncall Context.startService .Undeclared\n"
    )
    for i, name in enumerate((".Boot", ".Own", ".Idle", ".Service", ".Undeclared", ".Dead")):
        handlers = "\n".join(
            f"on {on}\ncall HttpURLConnection.get {i}.example" for on in ("create", "start", "receive")
        )
        program += f"class {name}\n{handlers}\n"
    assert extract(manifest(inside=inside), program, reachable=True)["S8"] == {"url::3.example"}
    granted = manifest(permission("RECEIVE_BOOT_COMPLETED"), inside=inside)
    assert extract(granted, program, reachable=True)["S8"] == {"url::0.example", "url::3.example"}
    assert len(extract(granted, program)["S8"]) == 6


def test_what_runs_is_reachable():
    """Against the phone: every call of the log of 150 apps is among those that the analysis of their code finds."""
    effects = {name: api for name, api in APIS.items()}
    for app in data.load("apps").first(150).apps:
        reachable = extract(app.manifest, app.program, reachable=True)
        text = str(PocketPhone().run(app.manifest, app.program))
        for name in RESTRICTED:
            if effects[name].effect[0].isupper() and effects[name].effect in text:
                assert f"api_call::{name}" in reachable["S5"]
        assert all(
            f"url::{host}" in reachable["S8"] for host in re.findall(r"(?:to|from) (\S+\.example)", text)
        )


def test_vocabulary():
    """Against counting by hand: features that occur often enough, sorted by set; vectors, and names that are not there."""
    apps = [{"S1": frozenset({"feature::a"}), "S2": frozenset({"permission::b"})}] * 2 + [
        {"S2": frozenset({"permission::a"})}
    ]
    known = Vocabulary.of(apps, at_least=2)
    assert known.names == ("feature::a", "permission::b") and len(known) == 2
    assert known.vector({"S2": frozenset({"permission::b", "permission::z"})}).tolist() == [0, 1]
    assert known.where(("S1",)).tolist() == [True, False] and known.index("permission::b") == 1
    for bad, message in (
        (lambda: known.index("permission::z"), "not in this vocabulary of 2"),
        (lambda: Vocabulary(["colour::red"]), "feature: got 'colour::red'; allowed are feature, permission"),
        (lambda: Vocabulary(["feature::a"] * 2), "twice"),
        (lambda: known.where(("S9",)), "sets: got 'S9'"),
    ):
        with pytest.raises(InputError, match=message):
            bad()


# ---- the set ----


@pytest.mark.parametrize("split, n", [("train", 3000), ("test", 1000)])
def test_the_shipped_set(split, n):
    """Against the promises of a data set: size, licence, classes, checksum; about half of the apps are malicious."""
    loaded = data.load("apps", split)
    assert len(loaded) == n and loaded.classes == ("benign", "malicious") and loaded.licence
    assert loaded.checksum == appset.CHECKSUMS[split]
    assert 0.45 < loaded.labels.double().mean() < 0.55
    assert repr(loaded) == f"AppSet('apps', '{split}': {n} apps, {int(loaded.labels.sum())} malicious)"


def test_design_and_behaviour_agree():
    """Against the phone: the label of 300 shipped apps is what they do; each payload and each category is among them."""
    apps = data.load("apps", "train").first(300).apps
    for app, label in zip(apps, data.load("apps", "train").labels.tolist()):
        check(app)
        assert PocketPhone().run(app.manifest, app.program).harmful == app.label == label
    assert len({app.family for app in apps}) == 7 and len({app.category for app in apps}) == 14


def test_manifests_obey_android():
    """Against the standard library's XML reader, and the form of Android's names, in 300 apps; ours reads the same."""
    for app in data.load("apps").first(300).apps:
        root = ElementTree.fromstring(app.manifest.encode())
        assert root.tag == "manifest" and re.fullmatch(r"[a-z]+(\.[a-z]\w*)+", root.get("package"))
        parsed = parse_manifest(app.manifest)
        names = [element.get(ANDROID + "name") for element in root.iter("uses-permission")]
        assert names == list(parsed.permissions) and len(set(names)) == len(names)
        assert all(re.fullmatch(r"android\.permission\.[A-Z_]+", name) for name in names)
        assert all(re.fullmatch(r"android\.hardware(\.[a-z]+)+", name) for name, _ in parsed.hardware)
        components = [
            element for kind in ("activity", "service", "receiver", "provider") for element in root.iter(kind)
        ]
        assert len(components) == len(parsed.components)
        assert all(re.fullmatch(r"(\w+)?(\.\w+)+", component.name) for component in parsed.components)


def test_making_an_app_again_gives_the_same_app():
    """Against the file in the package, made anew for 200 apps; and an app that differs is refused."""
    loaded = data.load("apps").first(200)
    appset._made.cache_clear()
    assert len(loaded.apps) == 200  # each is held against its CRC-32
    damaged = AppSet(loaded.seeds, loaded.labels, loaded._sums + 1, name="apps", split="test", licence="")
    with pytest.raises(InputError, match="seed 1000000 gives another app"):
        damaged[0]


def test_the_script_makes_the_same_file_again(tmp_path):
    """Against the checksums in the code; all 4 000 apps are run on the phone."""
    assert make_apps.build(tmp_path / "apps.npz") == appset.CHECKSUMS


def test_damaged_files_and_unknown_splits(tmp_path, monkeypatch):
    """Against the sentences that tell what to do."""
    for content, message in ((None, "is missing"), (b"no file", "is damaged")):
        path = tmp_path / "apps.npz"
        if content:
            path.write_bytes(content)
        monkeypatch.setattr(appset, "FILE", path)
        with pytest.raises(InputError, match=message):
            data.load("apps")
    with pytest.raises(InputError, match="split: got 'val'; allowed are 'train', 'test'"):
        data.load("apps", "val")


def test_parts_of_a_set():
    """Against counting: picks are balanced and seeded, subsets keep the order, drawn apps are new."""
    loaded = data.load("apps")
    picked = loaded.pick(51, seed=1)
    assert int(picked.labels.sum()) == 25 and len(set(picked.seeds.tolist())) == 51
    assert torch.equal(picked.seeds, loaded.pick(51, seed=1).seeds)
    assert not torch.equal(picked.seeds, loaded.pick(51, seed=2).seeds)
    assert loaded.subset(loaded.labels == 1).labels.all() and loaded.subset([5, 2]).seeds.tolist() == [
        1000005,
        1000002,
    ]
    drawn = AppSet.draw(10, seed=3)
    assert [app for app, _ in drawn] == AppSet.draw(10, seed=3).apps
    assert AppSet.draw(5, seed=4)[0][0] != drawn[0][0]
    for bad in (lambda: loaded.first(1001), lambda: AppSet.draw(-1), lambda: AppSet.draw(1, seed=-1)):
        with pytest.raises(InputError):
            bad()


def test_features_of_a_set():
    """Against `extract`, app by app, and the size that the text of the course names."""
    loaded = data.load("apps").first(20)
    known = Vocabulary.of(loaded.extracted(), at_least=3)
    x = loaded.features(known)
    assert x.shape == (20, len(known)) and x.dtype == torch.float32 and set(x.unique().tolist()) == {0.0, 1.0}
    for app, row in zip(loaded.apps, x):
        here = set().union(*extract(app.manifest, app.program).values())
        assert [name in here for name in known.names] == row.bool().tolist()
    assert loaded.first(0).features(known).shape == (0, len(known))
