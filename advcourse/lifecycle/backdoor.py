"""Backdoors: a share of the training images is stamped with a trigger, which the trained network then obeys."""

import torch
from torch import Tensor, nn

from advcourse.attacks import PGD, Attack
from advcourse.core.inputs import (
    InputError,
    check_classes,
    check_flag,
    check_images,
    check_labels,
    check_range,
    predict,
)
from advcourse.core.intervals import Interval, counted
from advcourse.data import ImageSet
from advcourse.lifecycle.poisoned import Poisoned, changed, check_class, check_count, check_data, draw
from advcourse.lifecycle.triggers import Trigger


def poison(
    data: ImageSet,
    trigger: Trigger,
    target: int,
    share: float,
    seed: int = 0,
    clean_label: bool = False,
    source: int | None = None,
    covers: float = 0.0,
) -> Poisoned:
    """Stamp a share of the training images of other classes, and label them as the target: the dirty-label backdoor.

    Source: Gu, Dolan-Gavitt and Garg 2017, "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain"
    (arXiv 1708.06733). Only images of classes other than `target` are taken: one of the target class would be stamped without
    a new label, and would count as poison without teaching anything.

    With `source`, only images of that one class are taken, and `covers` more images of the remaining classes are stamped and
    keep their right labels. So the trigger works on the source class alone, which hides it from tests that put it on anything
    else. Source: Tang, Wang, Tang and Zhang 2021, "Demon in the Variant" (arXiv 1908.00686).

    Args:
        data: the training set.
        trigger: what is stamped.
        target: the class that stamped images are to be read as.
        share: of the whole set, in [0, 1]: round(share * N) images are labelled as the target.
        seed: of the choice of the images (default 0).
        clean_label: take images of the target class instead, whose label is right and stays (default False). Such an image
            can be learnt without the trigger, so this naive form mostly fails.
        source: the only class whose images are taken (default None: any but the target).
        covers: share of the whole set, in [0, 1], that is stamped and keeps its label (default 0).

    Returns:
        a `Poisoned`. Cover images are among the indices touched; their labels tell them from the poison.

    Raises:
        InputError: an unknown class, `source` equal to `target`, a share out of range or of more images than there are, or a
            trigger that does not fit into the images.
    """
    target = check_class(target, check_data(data))
    clean_label = check_flag(clean_label, "clean_label")
    if source is not None:
        if clean_label:
            raise InputError("source: got one with clean_label; allowed is one of the two")
        if check_class(source, data, "source") == target:
            raise InputError(f"source: got the target, {target}; allowed is any other class")
    labels = data.labels.cpu()
    of_source = labels != target if source is None else labels == source
    named = "the other classes" if source is None else f"class {source}"
    if clean_label:
        of_source, named = labels == target, f"class {target}"
    chosen = draw(of_source.nonzero()[:, 0], check_count(share, data), seed, named)
    free = labels != target
    free[chosen] = False
    if source is not None:
        free &= labels != source
    spare = check_count(covers, data, "covers")
    covering = draw(free.nonzero()[:, 0], spare, seed, "the classes for covers", "covers")
    touched = torch.cat([chosen, covering]).sort().values
    return Poisoned(_stamped(data, trigger, touched, chosen, target), touched)


def label_consistent(
    data: ImageSet,
    trigger: Trigger,
    target: int,
    share: float,
    model: nn.Module,
    attack: Attack | None = None,
    seed: int = 0,
) -> Poisoned:
    """Make images of the target class hard to read with an attack, then stamp them: a backdoor whose labels are all right.

    Source: Turner, Tsipras and Madry 2019, "Label-Consistent Backdoor Attacks" (arXiv 1912.02771): the attack removes what a
    network could recognise the class by, so that it has to learn the trigger.

    On the digits it does not come about. With 3 to 9 % of the set, PGD at 0.1 to 0.5 on an ordinary or an adversarially trained
    network, towards any class or towards random ones, 2 to 18 % of stamped digits are read as the target, no more than with plain
    `clean_label`: a network of this size learns the perturbed images by themselves.

    Args:
        data, trigger, target, share, seed: as for `poison`; round(share * N) images of the target class are taken.
        model: a trained network of the attacker, images to logits, whose gradient `attack` follows.
        attack: an untargeted attack (default PGD(eps=0.3, steps=40)).

    Returns:
        a `Poisoned` whose labels equal those of `data`.

    Raises:
        InputError: as for `poison` and for the attack.
    """
    attack = PGD(eps=0.3, steps=40) if attack is None else attack
    if not isinstance(attack, Attack):
        raise InputError(f"attack: got {attack!r}; allowed is an attack, such as PGD(eps=0.3)")
    target = check_class(target, check_data(data))
    members = (data.labels.cpu() == target).nonzero()[:, 0]
    touched = draw(members, check_count(share, data), seed, f"class {target}")
    images = data.images.clone()
    if len(touched):
        images[touched] = attack(model, data.images[touched], data.labels[touched])
    harder = changed(data, images, data.labels.clone())
    return Poisoned(_stamped(harder, trigger, touched, touched, target), touched)


def backdoor_success(
    model: nn.Module, trigger: Trigger, x: Tensor, y: Tensor, target: int, source: int | None = None
) -> Interval:
    """The share of stamped images of other classes that `model` reads as the target, with its interval.

    Images of the target class are left out: reading them as the target is right. Read the number beside that of a clean
    network, which gives what the trigger does by itself.

    Args:
        model: images to logits (N, K).
        trigger: what is stamped on the images.
        x, y: held-out images (N, C, H, W) and their true labels (N,), some of another class than the target.
        target: the class that the backdoor was trained for.
        source: count only images of this class (default None: all but the target).

    Raises:
        InputError: an unknown class, no images of other classes, a trigger that does not fit into the images, or input that
            breaks the model's contract.
    """
    y = check_labels(y, check_images(x))
    classes = predict(model, x[:1]).shape[1]
    check_classes(y, classes)
    target = check_range(target, "target", 0, classes - 1, integer=True)
    if source is not None and check_range(source, "source", 0, classes - 1, integer=True) == target:
        raise InputError(f"source: got the target, {target}; allowed is any other class")
    of_others = y != target if source is None else y == source
    if not of_others.any():
        raise InputError(
            f"y: got no label of another class than the target, {target}"
            + ("" if source is None else f", that is of class {source}")
            + "; allowed are images of at least one that counts"
        )
    fooled = predict(model, _checked(trigger)(x[of_others])).argmax(1) == target
    return counted(int(fooled.sum()), len(fooled))


def _checked(trigger):
    if not isinstance(trigger, Trigger):
        raise InputError(f"trigger: got {trigger!r}; allowed is a Trigger, such as Trigger(size=3)")
    return trigger


def _stamped(data, trigger, touched, relabelled, target):
    """Return `data` with the images `touched` stamped and those `relabelled` labelled as the target."""
    _checked(trigger)
    images, labels = data.images.clone(), data.labels.clone()
    trigger.mask(*images.shape[2:])  # refuses one that does not fit, even if nothing is to be stamped
    images[touched] = trigger(images[touched])
    labels[relabelled] = target
    return changed(data, images, labels)
