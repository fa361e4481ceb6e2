"""How much of the survey the course covers: each id of `docs/survey.md` with its code, chapter cell, test and lab.

To cover an id, add a line to `_SHOWN`. Tests check that everything an entry points to exists.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from advcourse.core.files import write_between

BEGIN, END = "<!-- coverage: made by `advcourse coverage --write README.md` -->", "<!-- coverage ends -->"


@dataclass(frozen=True)
class CoverageRow:
    """Where the course shows one id of the survey. All fields but `section` and `title` are None if it does not yet.

    `code` is "module:name", `chapter` a notebook's name without its suffix, `cell` the tag of the cell in it, `test`
    "file::function", `lab` a folder of `exercises/`.
    """

    section: str
    title: str
    code: str | None = None
    chapter: str | None = None
    cell: str | None = None
    test: str | None = None
    lab: str | None = None

    @property
    def covered(self) -> bool:
        """True if the library, a chapter and a test all show it."""
        return None not in (self.code, self.chapter, self.cell, self.test)


_TITLES = {
    "1 Introduction": {
        "intro.discovery": "a slight perturbation makes a network output any wrong label",
        "intro.breadth": "the same in other kinds of learning and application",
        "intro.hypotheses": "four hypotheses on why adversarial examples exist",
    },
    "2 Attacks": {
        "attack.fgsm": "FGSM",
        "attack.rfgsm": "R+FGSM",
        "attack.bim": "BIM",
        "attack.pgd": "PGD",
        "attack.umifgsm": "U-MI-FGSM",
        "attack.deepfool": "DeepFool",
        "attack.uap": "UAP",
        "attack.optmargin": "OptMargin",
        "attack.llc": "LLC",
        "attack.rllc": "R+LLC",
        "attack.illc": "ILLC",
        "attack.tmifgsm": "T-MI-FGSM",
        "attack.jsma": "JSMA",
        "attack.cw_l0": "C&W L0",
        "attack.cw_l2": "C&W L2",
        "attack.cw_linf": "C&W L∞",
        "attack.ead": "EAD",
        "attack.stadv": "stAdv",
    },
    "3 Measuring attacks": {
        "metric.misclassification": "misclassification",
        "metric.imperceptibility": "imperceptibility",
        "metric.robustness": "robustness to transformations",
        "metric.efficiency": "efficiency",
    },
    "4 The real world": {
        "case.phone": "phone camera",
        "case.face": "face recognition",
        "case.sign": "road signs",
        "case.malware": "malware detection",
    },
    "5 Defenses": {
        "defense.nat": "naive adversarial training",
        "defense.pat": "PGD adversarial training",
        "defense.eat": "ensemble adversarial training",
        "defense.dcn": "deep contractive network",
        "defense.distillation": "defensive distillation",
        "defense.igr": "input gradient regularisation",
        "defense.eit": "ensemble input transformation",
        "defense.rt": "random transformation",
        "defense.pixeldefend": "PixelDefend",
        "defense.thermometer": "thermometer encoding",
        "defense.rc": "region-based classification",
        "defense.lid": "LID",
        "defense.squeezing": "feature squeezing",
        "defense.magnet": "MagNet",
    },
    "6 Challenges": {
        "challenge.training": "cost and reach of adversarial training",
        "challenge.masking": "substitute models against gradient masking",
        "challenge.transformation": "false alarms and misses of input transformation",
        "challenge.region": "radius and cost of region-based classification",
        "challenge.detection": "what detection costs",
        "challenge.adaptive": "adaptive attacks",
    },
    "7 Life cycle": {
        "lifecycle.poisoning": "data poisoning",
        "lifecycle.backdoor": "backdoors",
        "lifecycle.inversion": "model inversion",
        "lifecycle.membership": "membership inference",
        "lifecycle.whole": "evaluation over the whole life cycle",
    },
}


def _shown(code, chapter, test, lab=None):
    """Return the fields of a `CoverageRow`, from names without their common prefixes."""
    file, function = test.split("::")
    return {
        "code": f"advcourse.{code}",
        "chapter": chapter,
        "test": f"tests/test_{file}.py::test_{function}",
        "lab": lab,
    }


# The cell in the chapter has the id as its tag.
_SHOWN = {
    "intro.discovery": _shown(
        "attacks:PGD", "00_start_here", "gradient_attacks::two_linear_classes_targeted"
    ),
    "intro.breadth": _shown(
        "beyond.text:HotFlip", "21_beyond_images", "text::words_fool_both_nets_and_chance_does_not", "lab12"
    ),
    "intro.hypotheses": _shown(
        "attacks:FGSM", "01_why_they_exist", "gradient_attacks::linf_on_ten_linear_classes"
    ),
    "attack.fgsm": _shown("attacks:FGSM", "02_one_step", "peers::untargeted_equals_torchattacks", "lab1"),
    "attack.rfgsm": _shown(
        "attacks:RFGSM", "02_one_step", "peers::random_step_then_foolboxs_gradient_step", "lab1"
    ),
    "attack.llc": _shown(
        "attacks:LLC", "02_one_step", "peers::least_likely_class_equals_torchattacks", "lab1"
    ),
    "attack.rllc": _shown(
        "attacks:RLLC", "02_one_step", "peers::random_step_then_foolboxs_gradient_step", "lab1"
    ),
    "attack.bim": _shown("attacks:BIM", "03_many_steps", "peers::untargeted_equals_torchattacks", "lab1"),
    "attack.pgd": _shown(
        "attacks:PGD",
        "03_many_steps",
        "gradient_attacks::pgd_finds_the_smallest_budget_of_a_linear_model",
        "lab1",
    ),
    "attack.umifgsm": _shown(
        "attacks:UMIFGSM", "03_many_steps", "gradient_attacks::momentum_by_hand", "lab1"
    ),
    "attack.illc": _shown(
        "attacks:ILLC", "03_many_steps", "peers::least_likely_class_equals_torchattacks", "lab1"
    ),
    "attack.tmifgsm": _shown(
        "attacks:TMIFGSM", "03_many_steps", "peers::targeted_equals_torchattacks", "lab1"
    ),
    "attack.deepfool": _shown("attacks:DeepFool", "04_nearest_boundary", "deepfool::linear_model", "lab2"),
    "attack.uap": _shown(
        "attacks:UAP", "04_nearest_boundary", "uap::it_fools_digits_that_it_has_not_seen", "lab2"
    ),
    "attack.optmargin": _shown(
        "attacks:OptMargin", "05_optimisation", "optmargin::it_beats_region_voting_where_cw_does_not", "lab3"
    ),
    "attack.jsma": _shown(
        "attacks:JSMA", "06_saliency_and_space", "jsma::the_pair_is_the_best_of_all_pairs", "lab2"
    ),
    "attack.cw_l0": _shown("attacks:CWL0", "05_optimisation", "carlini_wagner::l0_on_a_linear_model", "lab3"),
    "attack.cw_l2": _shown(
        "attacks:CWL2", "05_optimisation", "carlini_wagner::linear_model_closed_form", "lab3"
    ),
    "attack.cw_linf": _shown(
        "attacks:CWLinf", "05_optimisation", "carlini_wagner::linf_is_below_the_smallest_eps_of_pgd"
    ),
    "attack.ead": _shown("attacks:EAD", "05_optimisation", "ead::l1_rule_on_a_linear_model", "lab3"),
    "attack.stadv": _shown(
        "attacks:StAdv", "06_saliency_and_space", "stadv::the_warp_is_bilinear_interpolation", "lab2"
    ),
    "metric.misclassification": _shown(
        "metrics:misclassification_rate",
        "07_measuring_attacks",
        "metrics::misclassification_rate_counts_what_the_attacker_wanted",
        "lab4",
    ),
    "metric.imperceptibility": _shown(
        "metrics:ssim", "07_measuring_attacks", "metrics_images::ssim_on_digits_equals_scikit_images", "lab4"
    ),
    "metric.robustness": _shown(
        "metrics:survival",
        "07_measuring_attacks",
        "metrics_robustness::survival_divides_by_the_successes_and_not_by_all",
        "lab4",
    ),
    "metric.efficiency": _shown(
        "metrics:efficiency",
        "07_measuring_attacks",
        "metrics_robustness::efficiency_of_an_attack",
    ),
    "case.phone": _shown(
        "cases.phone:photograph", "08_phone_camera", "phone::the_least_likely_class_is_destroyed_most", "lab5"
    ),
    "case.face": _shown(
        "cases.faces:FrameAttack",
        "09_faces",
        "faces::dodging_is_stronger_than_its_controls",
    ),
    "case.sign": _shown(
        "cases.signs:RP2",
        "10_road_signs",
        "sign_stickers::stickers_are_read_as_the_target_and_their_controls_are_not",
        "lab5",
    ),
    "case.malware": _shown(
        "cases.malware:AddFeatures",
        "11_malware",
        "malware::additions_to_the_manifest_evade_and_random_ones_do_not",
        "lab6",
    ),
    "defense.nat": _shown(
        "defenses:NAT",
        "12_adversarial_training",
        "training_defenses::nat_falls_to_more_than_one_step",
        "lab7",
    ),
    "defense.pat": _shown(
        "defenses:PAT",
        "12_adversarial_training",
        "adversarial_training::training_on_the_worst_case_is_training_on_the_closed_form",
        "lab7",
    ),
    "defense.eat": _shown(
        "defenses:EAT",
        "12_adversarial_training",
        "training_defenses::eat_holds_against_transfer_and_falls_to_pgd",
        "lab7",
    ),
    "defense.dcn": _shown(
        "defenses:DeepContractive",
        "13_gradient_masking",
        "gradient_masking::dcn_estimates_the_exact_norm_of_dense_layers",
    ),
    "defense.distillation": _shown(
        "defenses:DefensiveDistillation",
        "13_gradient_masking",
        "gradient_masking::distillation_saturates_and_falls",
        "lab7",
    ),
    "defense.igr": _shown(
        "defenses:InputGradientRegularization",
        "13_gradient_masking",
        "gradient_masking::igr_of_a_linear_model_of_two_classes",
        "lab7",
    ),
    "defense.eit": _shown(
        "defenses:EnsembleInputTransformation",
        "14_input_transformation",
        "input_defenses_broken::an_ensemble_of_all_falls_to_both",
        "lab8",
    ),
    "defense.rt": _shown(
        "defenses:RandomTransformation",
        "14_input_transformation",
        "input_defenses_broken::random_resizing_falls_to_eot",
        "lab8",
    ),
    "defense.pixeldefend": _shown(
        "defenses:PixelDefend", "14_input_transformation", "pixeldefend::purifying_is_the_papers_algorithm"
    ),
    "defense.thermometer": _shown(
        "defenses:Thermometer",
        "14_input_transformation",
        "thermometer::a_stand_in_for_the_gradient_breaks_it",
        "lab8",
    ),
    "defense.rc": _shown(
        "defenses:RegionClassifier", "15_region_classification", "region::the_shares_are_the_volumes", "lab8"
    ),
    "defense.lid": _shown(
        "defenses:LIDDetector", "16_detection", "lid::the_estimate_is_the_dimension_of_a_ball"
    ),
    "defense.squeezing": _shown(
        "defenses:FeatureSqueezing",
        "16_detection",
        "feature_squeezing::the_score_is_the_largest_distance_of_the_answers",
        "lab8",
    ),
    "defense.magnet": _shown(
        "defenses:MagNet",
        "16_detection",
        "magnet::each_part_has_its_threshold_and_together_they_keep_the_rate",
    ),
    "challenge.training": _shown(
        "metrics:slowdown", "12_adversarial_training", "adversarial_training::another_norm_goes_through"
    ),
    "challenge.masking": _shown(
        "attacks:train_substitute", "13_gradient_masking", "substitute::the_algorithm_by_hand"
    ),
    "challenge.transformation": _shown(
        "metrics:utility", "14_input_transformation", "metrics_utility::utility_by_hand"
    ),
    "challenge.region": _shown(
        "defenses:choose_radius", "15_region_classification", "region::the_radius_of_a_band_is_its_width"
    ),
    "challenge.detection": _shown(
        "metrics:attacker_win_rate",
        "16_detection",
        "metrics_detection::the_attacker_wins_iff_the_model_is_fooled_and_the_image_is_not_flagged",
    ),
    "lifecycle.poisoning": _shown(
        "lifecycle:flip_labels",
        "20_life_cycle",
        "poisoning::exactly_the_share_is_flipped_and_no_pixel",
        "lab11",
    ),
    "lifecycle.backdoor": _shown(
        "lifecycle:poison",
        "20_life_cycle",
        "backdoor::only_images_of_other_classes_are_stamped_and_relabelled",
        "lab11",
    ),
    "lifecycle.inversion": _shown(
        "lifecycle:Inversion", "20_life_cycle", "inversion::the_minimum_of_a_linear_net"
    ),
    "lifecycle.membership": _shown(
        "lifecycle:LiRA", "20_life_cycle", "membership::lira_is_the_ratio_of_scipys_densities", "lab11"
    ),
    "lifecycle.whole": _shown(
        "lifecycle:Scorecard",
        "20_life_cycle",
        "scorecard::the_worst_cell_is_where_the_attacker_gains_most",
        "lab11",
    ),
}


def _entry(section, identifier, title):
    shown = _SHOWN.get(identifier, {})
    return CoverageRow(section, title, cell=identifier if shown else None, **shown)


REGISTRY = {
    identifier: _entry(section, identifier, title)
    for section, titles in _TITLES.items()
    for identifier, title in titles.items()
}


def not_yet() -> list[str]:
    """Return the ids that are not covered, in the survey's order."""
    return [identifier for identifier, entry in REGISTRY.items() if not entry.covered]


def summary() -> str:
    """Return a sentence that says how many ids of the survey are covered."""
    return f"{len(REGISTRY) - len(not_yet())} of the survey's {len(REGISTRY)} ids are covered."


def as_json() -> str:
    """Return the registry as JSON: id -> the entry's fields and `covered`."""
    rows = {identifier: {**asdict(entry), "covered": entry.covered} for identifier, entry in REGISTRY.items()}
    return json.dumps(rows, indent=2, ensure_ascii=False)


def as_text() -> str:
    """Return the registry as text for a terminal, one line per id."""
    width = max(map(len, REGISTRY))
    lines = []
    for identifier, entry in REGISTRY.items():
        where = f"{entry.code}  {entry.chapter}  {entry.lab or ''}".rstrip() if entry.covered else "not yet"
        lines.append(f"{identifier:<{width}}  {where}")
    return "\n".join([*lines, "", summary()])


def as_markdown(root: str = "") -> str:
    """Return the registry as a Markdown table; links start with `root` (`"../"` inside a chapter)."""
    lines = ["| survey | | library | chapter | lab |", "|---|---|---|---|---|"]
    for identifier, entry in REGISTRY.items():
        cells = [f"`{identifier}`", entry.title, "not yet", "", ""]
        if entry.covered:
            module, name = entry.code.split(":")
            cells[2] = f"`{module.removeprefix('advcourse.')}.{name}`"
            cells[3] = f"[{entry.chapter[:2]}]({root}chapters/{entry.chapter}.ipynb)"
            cells[4] = f"[{entry.lab}]({root}exercises/{entry.lab})" if entry.lab else ""
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([summary(), "", *lines])


def write(path: Path | str) -> None:
    """Write the table between the markers in the Markdown file `path`. Raises `InputError` if they are missing."""
    write_between(path, BEGIN, END, as_markdown())
