"""LID: adversarial images lie in regions whose local dimension, in the network's layers, is higher."""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, ask, check_images, check_model, check_range, check_seed
from advcourse.defenses.detection import Detector

_NEAREST = 1e-12  # a distance of 0 (a copy) counts as this share of the k-th distance
_FITTED = ("reference", "low", "spread", "weight", "bias")
_HIGHEST = 1e6  # the largest estimate: neighbours that are all equally far have no dimension


def local_intrinsic_dimensionality(distances: Tensor, k: int = 20) -> Tensor:
    """Return LID = -(1/k * sum_{i=1..k} log(r_i / r_k))^-1, the maximum-likelihood estimate, for each row: (N,).

    Paper: Amsaleg et al. 2015, "Estimating Local Intrinsic Dimensionality", as in Ma et al. 2018, equation 4 (arXiv 1801.02613).
    For points uniform in a ball of d dimensions around the reference point, minus the sum is a sum of k - 1 exponential variables
    with mean 1 / d. So the estimate has mean d * k / (k - 2), and its standard deviation is that mean / sqrt(k - 3).

    A distance of 0 counts as 1e-12 times the k-th, and no estimate exceeds 1e6, so that the result is finite.

    Args:
        distances: (N, M), M >= k, from each point to M others, in any order; no point is among its own neighbours.
        k: number of neighbours (default 20).

    Raises:
        InputError: `distances` is not such a tensor, or `k` is out of range.
    """
    if not isinstance(distances, Tensor) or distances.dim() != 2 or not distances.is_floating_point():
        raise InputError("distances: got no floating-point tensor of two dimensions; allowed is shape (N, M)")
    check_range(k, "k", 2, distances.shape[1], integer=True)
    nearest = distances.topk(k, dim=1, largest=False).values
    share = nearest / nearest[:, -1:].clamp_min(torch.finfo(nearest.dtype).tiny)
    return 1 / (-share.clamp_min(_NEAREST).log().mean(1)).clamp_min(1 / _HIGHEST)


class LIDDetector(Detector):
    """Score: the log-odds of a logistic regression on the local intrinsic dimensionality (LID) of an image in each layer.

    Paper: Ma et al. 2018, "Characterizing Adversarial Subspaces Using Local Intrinsic Dimensionality", algorithm 1 (arXiv
    1801.02613). Distances are Euclidean, between flattened layer outputs, to a mini-batch of clean images. Positives are
    adversarial images; negatives are clean and noisy ones. Features are scaled to [0, 1] by their minimum and maximum.

    In the authors' code each image loses its nearest neighbour, which for a clean image is itself, and for a noisy or
    adversarial one mostly the image that it was made from. Leaving it in for only some of the sets would give them away. Here the
    image itself, or the one it was made from, is excluded by its position, in all three sets. Images to be scored have no such
    partner: their neighbours come from a clean reference batch, one image smaller than the mini-batches, drawn at fitting. So
    scoring needs no access to an image's original, which the authors' evaluation has.

    The size of the mini-batch matters more than anything else. Among 100 digits only ten are of an image's own class, so
    most of its 20 neighbours are of other classes. On `mnist-small` a reference of 99 gives areas under the ROC curve of 0.92,
    0.88 and 0.84 for FGSM and PGD at 0.3 and DeepFool; a reference of 1000 gives 0.98, 0.97 and 0.87.

    What breaks it: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security", section 5 (arXiv
    1802.00420): high-confidence adversarial images, far beyond the boundary, look as clean as any. `Guarded(detector)` also lets
    an attack follow the gradient of the score.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        k: number of neighbours (default 20, the authors').
        batch: images in a mini-batch, at least k + 1 (default 100, the authors').
        layers: names as in `model.named_modules()` (default None: every module without submodules, the paper's "every layer").
        C: the inverse weight of the regression's L2 penalty (default 1). The authors choose it by cross-validation.
        seed: seed of the mini-batches and the reference (default 0).

    Example:
        >>> detector = LIDDetector(model).fit(x, attack(model, x, y), noisy).calibrate(x_validation)

    Raises:
        InputError: a layer is unknown; there is only one class, the sets do not match, or there are too few images; or a score is
            requested before `fit`.
    """

    def __init__(
        self,
        model: nn.Module,
        k: int = 20,
        batch: int = 100,
        layers: Sequence[str] | None = None,
        C: float = 1.0,
        seed: int = 0,
    ):
        super().__init__(model)
        self.k = check_range(k, "k", 2, integer=True)
        self.batch = check_range(batch, "batch", k + 1, integer=True)
        self.C = check_range(C, "C", 0, exclusive_low=True)
        self.seed = check_seed(seed)
        parts = dict(model.named_modules())
        if layers is None:
            layers = [name for name, module in parts.items() if not list(module.children())]
        self.layers = tuple(layers)
        unknown = [name for name in self.layers if name not in parts]
        if unknown or not self.layers:
            raise InputError(f"layers: got {unknown or 'none'}; allowed are some of {', '.join(parts)}")
        for name in _FITTED:
            self.register_buffer(name, None)
        self._remember("_neighbours", torch.tensor(self.k))

    def fit(self, clean: Tensor, adversarial: Tensor, noisy: Tensor | None = None) -> "LIDDetector":
        """Fit the regression and return self. This removes any earlier threshold.

        Args:
            clean: (N, C, H, W) in [0, 1], N >= `batch`; the remainder of N divided by `batch` is not used.
            adversarial: (N, C, H, W), made from the clean images, in the same order. Pass images that fool the model.
            noisy: (N, C, H, W), the clean images with noise of the adversarial images' mean L2 (default None: normal noise of
                that size is drawn).
        """
        self._check_sets(clean, adversarial, noisy)
        generator = torch.Generator().manual_seed(self.seed)
        if noisy is None:
            size = (adversarial - clean).flatten(1).norm(dim=1).mean()
            noise = torch.randn(clean.shape, generator=generator).to(clean)
            length = noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            noisy = (clean + size * noise / length).clamp(0, 1)
        order = torch.randperm(len(clean), generator=generator).to(clean.device)
        batches = [part for part in order.split(self.batch) if len(part) == self.batch]
        reference = clean[order[: self.batch - 1]].clone()
        sets = [
            torch.cat([self._features_among(x[part], clean[part]) for part in batches])
            for x in (clean, noisy, adversarial)
        ]
        self._regress(torch.cat(sets), len(sets[0]))
        self.reference, self.threshold = reference, None
        return self

    def features(self, x: Tensor) -> Tensor:
        """Return the LID of the images `x` (N, C, H, W) per layer, in the clean reference: (N, layers), float64, with a graph."""
        self._check_ready()
        with torch.no_grad():  # an attack moves the image but not its neighbours
            others = self._outputs(self.reference.to(x))
        distances = map(_distances, self._outputs(x), others)
        return torch.stack([local_intrinsic_dimensionality(d, self.k) for d in distances], 1)

    def suspicion(self, x: Tensor) -> Tensor:
        return ((self.features(x) - self.low) / self.spread) @ self.weight + self.bias

    def _features_among(self, x, clean):
        """Return the features (n, layers) of images `x` (n, C, H, W) among the other images of their original mini-batch."""

        def lids(both):
            others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
            distances = [_distances(out[: len(x)], out[len(x) :]) for out in self._outputs(both)]
            lids = [local_intrinsic_dimensionality(d[others].view(len(x), -1), self.k) for d in distances]
            return torch.stack(lids, 1)

        both = torch.cat([x, clean])
        return self._without_gradients(lids, both, batch_size=len(both))

    def _outputs(self, x):
        """Return the output of each layer (N, features), float64, recorded by temporary hooks."""
        with _noting(self.model, self.layers) as noted:
            ask(self.model, x)
        for name, output in noted.items():
            if not isinstance(output, Tensor) or len(output) != len(x):
                raise InputError(
                    f"layers: {name!r} does not return a tensor of shape (N, ...); allowed are layers that do"
                )
        missing = [name for name in self.layers if name not in noted]
        if missing:
            raise InputError(f"layers: {missing} are not used by the model; allowed are layers that are")
        return [noted[name].flatten(1).double() for name in self.layers]

    def _regress(self, features, negatives):
        """Fit a logistic regression to the features (3 n, layers), of which all but the last n are negatives."""
        from sklearn.linear_model import LogisticRegression  # takes a while to import

        self.low = features.amin(0)
        self.spread = (features.amax(0) - self.low).clamp_min(torch.finfo(features.dtype).tiny)
        labels = torch.arange(len(features)) >= 2 * negatives
        scaled = ((features - self.low) / self.spread).cpu().numpy()
        regression = LogisticRegression(C=self.C, max_iter=1000).fit(scaled, labels.numpy())
        self.weight = torch.from_numpy(regression.coef_[0]).to(features)
        self.bias = torch.from_numpy(regression.intercept_)[0].to(features)

    def _check_sets(self, clean, adversarial, noisy):
        check_model(self.model, check_images(clean, "clean"))
        for x, name in ((clean, "clean"), (adversarial, "adversarial"), (noisy, "noisy")):
            if x is None and name == "noisy":
                continue
            if not len(check_images(x, name)):
                raise InputError(
                    f"{name}: got none; allowed are as many as clean images: a detector needs both classes"
                )
            if x.shape != clean.shape:
                given, allowed = tuple(x.shape), tuple(clean.shape)
                raise InputError(
                    f"{name}: got shape {given}; allowed is that of clean, {allowed}, image by image"
                )
        if len(clean) < self.batch:
            raise InputError(
                f"clean: got {len(clean)} images; allowed is a mini-batch of {self.batch}, or more"
            )

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        """Load as torch does; buffers take the shapes of the fitted values, or become None if nothing was fitted."""
        weight, k = (state_dict.get(prefix + name) for name in ("weight", "_neighbours"))
        if weight is not None and weight.shape != (len(self.layers),):
            raise InputError(
                f"state_dict: got a detector fitted on {len(weight)} layers; "
                f"allowed is one fitted on the {len(self.layers)} layers {', '.join(self.layers)}"
            )
        if k is not None and k != self.k:
            raise InputError(
                f"state_dict: got a detector with k = {int(k)}; allowed is one with k = {self.k}"
            )
        self._take_shapes(_FITTED, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _check_ready(self):
        if self.weight is None:
            raise InputError(
                "detector: got a LIDDetector that was not fitted; allowed is one after fit(clean, adversarial)"
            )


def _distances(rows, others):
    """Return Euclidean distances (N, M) of points (N, D) and (M, D). `torch.cdist` gives the same, with a slow backward pass."""
    squares = rows.square().sum(1, keepdim=True) + others.square().sum(1) - 2 * rows @ others.T
    return squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()


@contextmanager
def _noting(model, names):
    """Inside the block, forward hooks record each layer's last output; yields them by name. The hooks are removed afterwards."""
    parts, noted, hooks = dict(model.named_modules()), {}, []
    try:
        for name in names:

            def note(module, inputs, output, name=name):
                # A copy: the next layer may write into the tensor, as an in-place ReLU does.
                noted[name] = output.clone() if isinstance(output, Tensor) else output

            hooks.append(parts[name].register_forward_hook(note))
        yield noted
    finally:
        for hook in hooks:
            hook.remove()
