"""Lab 6: the eight sets of features that DREBIN reads."""

import xml.etree.ElementTree as ET
from xml.dom import minidom

from advcourse.labs.comparing import gives
from advcourse.labs.exercises import exercise
from advcourse.labs.lab6.apps import AppTask, an_app
from advcourse.labs.lab6.given import ADDRESSED, ANDROID, KINDS, PERMISSION_OF, SUSPICIOUS, calls
from advcourse.labs.lab6.reading import by_pattern, components, named, names_of, short, with_package
from advcourse.labs.lab6.sets import BY_SETS, SPELLINGS, has_eight_sets, set_by_set, two_apps
from advcourse.labs.properties import answers, leaves_nothing_behind, other_device


@exercise(
    "Read an app",
    4,
    an_app,
    (
        "Let ElementTree read the manifest: root = ET.fromstring(manifest). root.iter('uses-feature') gives the elements, and "
        "element.get(ANDROID + 'name') the attribute. calls(program) gives the calls, each with .api and .argument.",
        "S3: for each child of root.find('application') whose tag is in KINDS. If the name begins with the package and a dot, "
        "cut the package off; if it has no dot at all, put one in front. An activity-alias counts as an activity.",
        "apis = {c.api for c in calls(program)}. S5 is apis & PERMISSION_OF.keys(); S6 is {PERMISSION_OF[a] for a in S5} & "
        "the requested permissions; S7 is apis & SUSPICIOUS; S8 the arguments of the calls in ADDRESSED.",
    ),
    numbers="dictionary",
    kind=AppTask,
)
def extract(manifest, program):
    root = ET.fromstring(manifest)
    found = calls(program)
    permissions = set(names_of(root.iter("uses-permission")))
    apis = {call.api for call in found}
    restricted = apis & PERMISSION_OF.keys()
    filters = list(root.iter("action")) + list(root.iter("category"))
    return {
        "S1": named("feature", names_of(root.iter("uses-feature"))),
        "S2": named("permission", permissions),
        "S3": with_package(root, short),
        "S4": named("intent", names_of(filters)),
        "S5": named("api_call", restricted),
        "S6": named("real_permission", {PERMISSION_OF[api] for api in restricted} & permissions),
        "S7": named("call", apis & SUSPICIOUS),
        "S8": named("url", (call.argument for call in found if call.api in ADDRESSED)),
    }


@extract.slip(
    "requested is not used",
    "Your S6 holds every requested permission. It is about what the app *uses*: of the requested permissions only those that one "
    "of its calls needs. Look the calls up in PERMISSION_OF.",
)
def s6_from_the_manifest(manifest, program):
    requested = names_of(ET.fromstring(manifest).iter("uses-permission"))
    return {**extract(manifest, program), "S6": named("real_permission", requested)}


@extract.slip(
    "used is not requested",
    "Your S6 holds permissions that the app never requests: its code would like to use them, behind an `ifperm`. Take only those "
    "that are in the manifest too.",
)
def s6_from_the_code(manifest, program):
    restricted = {call.api for call in calls(program)} & PERMISSION_OF.keys()
    return {**extract(manifest, program), "S6": named("real_permission", map(PERMISSION_OF.get, restricted))}


@extract.slip(
    "S7 missed",
    "Your S7 is empty. The suspicious calls are those in SUSPICIOUS, whether or not a permission guards them.",
)
def no_s7(manifest, program):
    return {**extract(manifest, program), "S7": set()}


@extract.slip(
    "only guarded ones",
    "Your S7 holds only suspicious calls that need a permission. Base64.decode needs none, and hides many a payload: S7 is all "
    "calls that are in SUSPICIOUS.",
)
def s7_within_s5(manifest, program):
    apis = {call.api for call in calls(program)} & PERMISSION_OF.keys()
    return {**extract(manifest, program), "S7": named("call", apis & SUSPICIOUS)}


@extract.slip(
    "counted once",
    "Your S7 leaves out what is in S5. The sets overlap: SmsManager.sendTextMessage needs a permission and is suspicious, so it "
    "is a feature of both.",
)
def s7_without_s5(manifest, program):
    apis = {call.api for call in calls(program)}
    return {**extract(manifest, program), "S7": named("call", apis & SUSPICIOUS - PERMISSION_OF.keys())}


@extract.slip(
    "all calls",
    "Your S5 holds all calls. It is for those that Android guards with a permission: the keys of PERMISSION_OF.",
)
def s5_of_all(manifest, program):
    return {**extract(manifest, program), "S5": named("api_call", (call.api for call in calls(program)))}


@extract.slip(
    "no prefixes",
    "Your names have no prefix. A name such as CAMERA could be a permission or hardware: write feature::, permission::, "
    "activity:: and so on before each, as in the table.",
)
def without_prefixes(manifest, program):
    found = extract(manifest, program)
    return {key: {name.split("::", 1)[1] for name in names} for key, names in found.items()}


@extract.slip(
    "long names",
    "Your S3 has the package in the names of the app's own classes. Every app has a package of its own, so no two apps would "
    "share such a feature. Write .MainActivity, without the package.",
)
def whole_names(manifest, program):
    def whole(name, package):
        return package + short(name, package) if short(name, package)[0] == "." else name

    return {**extract(manifest, program), "S3": with_package(ET.fromstring(manifest), whole)}


@extract.slip(
    "last part alone",
    "Your S3 keeps the last part of each name only. That is right for the app's own classes; of a library's class, such as "
    "com.pushbell.PushService, the whole name is the feature, and an own one keeps its dot.",
)
def last_part(manifest, program):
    names = with_package(ET.fromstring(manifest), lambda name, package: name.rsplit(".", 1)[-1])
    return {**extract(manifest, program), "S3": names}


@extract.slip(
    "activities alone",
    "Your S3 holds activities only. Services, receivers, providers and aliases are components as well: all the tags in KINDS.",
)
def only_activities(manifest, program):
    found = extract(manifest, program)
    return {**found, "S3": {name for name in found["S3"] if name.startswith("activity")}}


@extract.slip(
    "alias",
    "An activity-alias is one more name for an activity, and counts as activity::NAME. Yours is missing or has a prefix of its "
    "own.",
)
def alias_for_itself(manifest, program):
    root = ET.fromstring(manifest)
    package = root.get("package")
    names = {f"{c.tag}::{short(c.get(ANDROID + 'name'), package)}" for c in components(root)}
    return {**extract(manifest, program), "S3": names}


@extract.slip(
    "switched off",
    'Your S3 leaves out components with android:enabled="false". DREBIN reads what is declared, and does not ask whether it '
    "runs.",
)
def only_enabled(manifest, program):
    root = ET.fromstring(manifest)
    for off in root.findall(f".//*[@{ANDROID}enabled='false']"):
        root.find("application").remove(off)
    return {**extract(manifest, program), "S3": with_package(root, short)}


@extract.slip(
    "categories forgotten",
    "Your S4 holds the actions of the filters and not their categories. Both are intents to DREBIN: LAUNCHER is in it too.",
)
def only_actions(manifest, program):
    root = ET.fromstring(manifest)
    return {**extract(manifest, program), "S4": named("intent", names_of(root.iter("action")))}


@extract.slip(
    "one filter each",
    "Your S4 reads one filter of each component. find() gives the first alone; a component may have several: iter() or "
    "findall().",
)
def first_filter_of_each(manifest, program):
    filters = [component.find("intent-filter") for component in components(ET.fromstring(manifest))]
    inside = [element for part in filters if part is not None for element in part]
    return {**extract(manifest, program), "S4": named("intent", names_of(inside))}


@extract.slip(
    "required alone",
    'Your S1 leaves out hardware with android:required="false". That says whether the phone may refuse the app; the feature is '
    "there all the same.",
)
def only_required(manifest, program):
    hardware = ET.fromstring(manifest).iter("uses-feature")
    required = [one for one in hardware if one.get(ANDROID + "required") != "false"]
    return {**extract(manifest, program), "S1": named("feature", names_of(required))}


@extract.slip(
    "all arguments",
    "Your S8 holds the arguments of all calls. Only three calls take an address: those in ADDRESSED.",
)
def every_argument(manifest, program):
    return {**extract(manifest, program), "S8": named("url", (call.argument for call in calls(program)))}


@extract.slip(
    "get and post alone",
    "Your S8 misses addresses from which code is loaded: DexClassLoader.loadClass is in ADDRESSED too.",
)
def only_the_network(manifest, program):
    found = [call.argument for call in calls(program) if call.api.startswith("HttpURLConnection")]
    return {**extract(manifest, program), "S8": named("url", found)}


@extract.slip(
    "guarded calls left out",
    "You leave calls behind an `ifperm` out, in S5 to S8 or in some of them. DREBIN reads the code and does not run it: whatever "
    "stands there counts.",
    test=lambda case, found: set_by_set(unguarded)(case, found),
)
def unguarded(manifest, program):
    found = [call for call in calls(program) if not call.guard]
    text = "class .All\n  on run\n" + "".join(f"    call {c.api} {c.argument}\n" for c in found)
    return extract(manifest, text)


@extract.slip("guarded calls left out")
def no_guarded_addresses(manifest, program):
    return {**extract(manifest, program), "S8": unguarded(manifest, program)["S8"]}


@extract.slip(
    "by the guard",
    "Your S5 holds the calls behind an `ifperm`, those with a .guard. An `ifperm` is the app's own question. Android asks at the "
    "call: S5 is for calls that need a permission, the keys of PERMISSION_OF, behind an `ifperm` or not.",
    test=lambda case, found: set_by_set(s5_by_guard)(case, found),
)
def s5_by_guard(manifest, program):
    guarded = [call.api for call in calls(program) if call.guard]
    return {**extract(manifest, program), "S5": named("api_call", guarded)}


@extract.slip(
    "asked is not used",
    "Your S6 holds permissions of an `ifperm`. That line only asks whether the app has one; a call that needs it uses it. "
    "Look the calls up in PERMISSION_OF, and leave .guard alone.",
)
def s6_with_the_guards(manifest, program):
    found = extract(manifest, program)
    guards = named("real_permission", (call.guard for call in calls(program)))
    return {**found, "S6": found["S6"] | {g for g in guards if g.removeprefix("real_") in found["S2"]}}


@extract.slip(
    "not by tag",
    "Your S4 takes all that stands in a filter. There is `data` in filters as well, which says what a component opens and has no "
    "name: take the elements `action` and `category` alone.",
)
def whatever_is_in_a_filter(manifest, program):
    inside = [element for part in ET.fromstring(manifest).iter("intent-filter") for element in part]
    return {**extract(manifest, program), "S4": named("intent", names_of(inside))}


@extract.slip(
    "program forgotten",
    "S5 to S8 are empty: you have read the manifest alone. The program has the other half.",
)
def manifest_alone(manifest, program):
    return extract(manifest, "")


@extract.right
def by_minidom(manifest, program):
    document = minidom.parseString(manifest)

    def attribute(tag):
        return [
            element.getAttributeNS(ANDROID[1:-1], "name") for element in document.getElementsByTagName(tag)
        ]

    package = document.documentElement.getAttribute("package")
    found = {name: [] for name in ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8")}
    found["S1"] = ["feature::" + name for name in attribute("uses-feature")]
    found["S2"] = ["permission::" + name for name in attribute("uses-permission")]
    for kind in KINDS:
        for name in attribute(kind):
            name = name.removeprefix(package) if name.startswith(package + ".") else name
            found["S3"].append(f"{kind.split('-')[0]}::{name if '.' in name else '.' + name}")
    found["S4"] = ["intent::" + name for tag in ("action", "category") for name in attribute(tag)]
    for call in calls(program):
        needed = PERMISSION_OF.get(call.api)
        if needed:
            found["S5"].append(f"api_call::{call.api}")
        if f"permission::{needed}" in found["S2"]:
            found["S6"].append(f"real_permission::{needed}")
        if call.api in SUSPICIOUS:
            found["S7"].append(f"call::{call.api}")
        if call.api in ADDRESSED:
            found["S8"].append(f"url::{call.argument}")
    return {key: set(names) for key, names in found.items()}


@extract.right
def line_by_line(manifest, program):
    words = [line.split() for line in program.splitlines() if line.strip()]
    rows = [(row[1], row[2]) for row in words if row[0] == "call"]
    sets = extract(manifest, "")
    requested = {name.split("::")[1] for name in sets["S2"]}
    sets["S5"] = {"api_call::" + api for api, _ in rows if api in PERMISSION_OF}
    sets["S6"] = {
        "real_permission::" + p for p in requested if any(PERMISSION_OF.get(a) == p for a, _ in rows)
    }
    sets["S7"] = {"call::" + api for api, _ in rows if api in SUSPICIOUS}
    sets["S8"] = {"url::" + argument for api, argument in rows if api in ADDRESSED}
    return sets


@extract.wrong("attribute order")
def pattern_with_the_name_first(manifest, program):
    return {**extract(manifest, program), **by_pattern(manifest, r' android:name="([^"]*)"')}


@extract.wrong("quotes")
def pattern_with_double_quotes(manifest, program):
    return {**extract(manifest, program), **by_pattern(manifest, r'[^>]*android:name="([^"]*)"')}


@extract.wrong("namespace prefix")
def pattern_with_the_usual_prefix(manifest, program):
    return {**extract(manifest, program), **by_pattern(manifest, r"""[^>]*android:name=["']([^"']*)""")}


@extract.wrong("remarks")
def pattern_that_reads_remarks(manifest, program):
    return {**extract(manifest, program), **by_pattern(manifest, r"""[^>]*\w:name=["']([^"']*)""")}


@extract.wrong("package written out")
def names_as_they_stand(manifest, program):
    names = with_package(ET.fromstring(manifest), lambda name, package: name)
    return {**extract(manifest, program), "S3": names}


@extract.wrong("no dot")
def names_without_a_dot(manifest, program):
    def cut(name, package):
        return name[len(package) :] if name.startswith(package + ".") else name

    return {**extract(manifest, program), "S3": with_package(ET.fromstring(manifest), cut)}


@extract.wrong("crash")
def attribute_without_its_namespace(manifest, program):
    root = ET.fromstring(manifest)
    return {"S1": {"feature::" + one.attrib["android:name"] for one in root.iter("uses-feature")}}


@extract.wrong("namespace")
def asks_for_the_prefix(manifest, program):
    root = ET.fromstring(manifest)
    hardware = named("feature", (one.get("android:name") for one in root.iter("uses-feature")))
    return {**extract(manifest, program), "S1": hardware}


@extract.wrong("no sets")
def a_list_for_s8(manifest, program):
    found = [f"url::{call.argument}" for call in calls(program) if call.api in ADDRESSED]
    return {**extract(manifest, program), "S8": found}


@extract.wrong("sets missing")
def four_sets(manifest, program):
    found = extract(manifest, program)
    return {key: found[key] for key in ("S1", "S2", "S3", "S4")}


@extract.wrong("type")
def one_set(manifest, program):
    return sorted(set().union(*extract(manifest, program).values()))


@extract.wrong("formula")
def addresses_without_their_prefix(manifest, program):
    found = extract(manifest, program)
    return {**found, "S8": {name.removeprefix("url::") for name in found["S8"]}}


extract.checks(
    answers,
    has_eight_sets,
    gives(extract, BY_SETS, make=two_apps),
    *SPELLINGS,
    other_device,
    leaves_nothing_behind,
)
