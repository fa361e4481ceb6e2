"""Remedies: lines of Python that turn a light. Names are those of the call, and `audited` is its result."""

from advcourse.evaluation.audit.scene import Scene


def stronger(scene: Scene, restarts: int = 1) -> str:
    """Return the line that makes an attack which fits the model: adaptive where the model is not a plain network."""
    ball = f"eps={scene.eps:g}" + ("" if scene.norm == "Linf" else f', norm="{scene.norm}"')
    apgd = f"APGD({ball}, restarts={restarts})" if restarts > 1 else f"APGD({ball})"
    if scene.abstains:
        return f"attack = EachTarget(PGD({ball}, steps=100, targeted=True))"
    if scene.straight is not None:
        return f"attack = Transfer({apgd}, straight)"
    if scene.random:
        return f"attack = Transfer({apgd}, partial(EOT, draws=20))"
    if scene.gradient_is_dead:
        return f"attack = Square({ball}, queries=5000)"
    return f"attack = {apgd}"


def ensemble(scene: Scene) -> str:
    """Return the line that attacks with the whole standard ensemble, Square included, where a gradient leads to the images."""
    if scene.abstains or scene.random or scene.straight is not None or scene.gradient_is_dead:
        return stronger(scene)
    call = f'standard(model, x, y, eps, "{scene.norm}", "quick").images'
    return f"attack = lambda model, x, y, eps={scene.eps:g}: {call}"


def smaller(scene: Scene, eps: float) -> str:
    """Return the line that repeats the attack with another budget; where it has none of its own, APGD stands in."""
    kind = scene.subject.kind
    if kind == "attack" and hasattr(scene.subject.attack, "eps"):
        return f"eps, attack = {eps:.3g}, replace(attack, eps={eps:.3g})"
    if kind == "function" and scene.subject.has("eps"):
        return f"eps, attack = {eps:.3g}, partial(attack, eps={eps:.3g})"
    norm = "" if scene.norm == "Linf" else f', norm="{scene.norm}"'
    return f"eps, attack = {eps:.3g}, APGD(eps={eps:.3g}{norm})"
