"""They call an answer that somebody else has written: the library's, the judge's, another library's, one from the network."""

from hostile import body, cheat


def _fgsm(name, how, **fields):
    cheat(name, body(how), **{"lab": "lab1", "task": "fgsm", "succeeds": "points", **fields})


_fgsm(
    "imports_the_librarys_attack",
    """
    from advcourse.attacks import FGSM
    return FGSM(eps=eps)(model, x, y)
    """,
)
_fgsm(
    "imports_it_under_another_name",
    """
    import advcourse.attacks as optimisers
    step = optimisers.FGSM
    return step(eps=eps)(model, x, y)
    """,
)
_fgsm(
    "imports_it_by_its_pieces",
    """
    import importlib
    library = importlib.import_module("adv" + "course" + "." + "att" + "acks")
    return getattr(library, "FG" + "SM")(eps=eps)(model, x, y)
    """,
)
_fgsm(
    "imports_it_by_a_builtin",
    """
    get = vars(torch)["__builtins__"]["__import__"]
    return get("advcourse.attacks", fromlist=["FGSM"]).FGSM(eps=eps)(model, x, y)
    """,
)
_fgsm(
    "imports_what_imports_it",
    """
    from advcourse.zoo import deployed
    return deployed.attacks.FGSM(eps=eps)(model, x, y)
    """,
    succeeds="",
)
_fgsm(
    "asks_the_package_for_all_it_has",
    """
    import importlib, pkgutil
    import advcourse
    for found in pkgutil.walk_packages(advcourse.__path__, "advcourse."):
        if found.name.startswith("advcourse.attacks"):
            library = importlib.import_module(found.name)
            if hasattr(library, "FGSM"):
                return library.FGSM(eps=eps)(model, x, y)
    """,
)
_fgsm(
    "puts_the_clone_on_the_path",
    """
    import sys
    for name in [name for name in sys.modules if name.split(".")[0] == "advcourse"]:
        del sys.modules[name]
    sys.path[:0] = ["@REPO@", "@SITE@"]
    from advcourse.attacks import FGSM
    return FGSM(eps=eps)(model, x, y)
    """,
)
_fgsm(
    "calls_the_authors_answer",
    """
    from advcourse.labs.lab1 import fgsm
    return fgsm.fgsm(model, x, y, eps)
    """,
)

cheat(
    "imports_the_judges_formula",
    body(
        """
        from advcourse.labs.lab4.rate import rate as known
        return known(clean_logits, logits, y, target)
        """
    ),
    succeeds="points",
)
cheat(
    "reads_the_source_of_the_judges_formula",
    body(
        """
        import inspect
        import advcourse.labs.lab4 as lab
        definition = lab.TASKS["rate"].solution
        own = dict(definition.__globals__)
        exec(inspect.getsource(definition), own)
        return own["rate"](clean_logits, logits, y, target)
        """
    ),
    succeeds="points",
)
cheat(
    "asks_the_task_for_its_definition",
    body(
        """
        from advcourse.labs.lab4 import TASKS
        for part in TASKS["rate"].properties:
            held = dict(zip(part.__code__.co_freevars, part.__closure__ or ()))
            if "task" in held:
                return held["task"].cell_contents(clean_logits, logits, y, target)
        """
    ),
    succeeds="points",
)

cheat(
    "calls_scikit_image",
    body(
        """
        from skimage.metrics import structural_similarity as of
        how = {"win_size": 7, "data_range": 1.0, "use_sample_covariance": False, "channel_axis": 0}
        return torch.tensor([of(a.numpy(), b.numpy(), **how) for a, b in zip(x.double(), x_adv.double())]).to(x)
        """
    ),
    task="similarity",
    told=False,
    succeeds="points",
)
cheat(
    "finds_scikit_image_in_the_other_folder",
    body(
        """
        import sys
        sys.path += ["@SITE@", "/usr/lib/python3/dist-packages", "/usr/local/lib/python3.11/site-packages"]
        from skimage.metrics import structural_similarity as of
        how = {"win_size": 7, "data_range": 1.0, "use_sample_covariance": False, "channel_axis": 0}
        return torch.tensor([of(a.numpy(), b.numpy(), **how) for a, b in zip(x.double(), x_adv.double())]).to(x)
        """
    ),
    task="similarity",
    succeeds="points",
)
cheat(
    "looks_for_other_libraries_of_attacks",
    body(
        """
        import importlib, sys
        sys.path += ["@SITE@"]
        for name in "foolbox torchattacks art cleverhans adv_lib autoattack torchmetrics skimage".split():
            try:
                importlib.import_module(name)
            except Exception:
                continue
            raise RuntimeError("LE" "AK " + name)
        """
    ),
    succeeds="LEAK",
)

# Lab 8 gives models with rounding to some of its functions, and asks for that rounding in another.

cheat(
    "borrows_the_defense_that_other_tasks_get",
    body(
        """
        from advcourse.labs.lab8.defended import Levels
        return Levels(bits)(x)
        """
    ),
    lab="lab8",
    task="quantise",
    succeeds="points",
)
cheat(
    "looks_for_the_defense_among_all_modules",
    body(
        """
        for module in list(sys.modules.values()):
            for name in ("nearest_level", "Levels"):
                if name in getattr(module, "__dict__", {}):
                    found = module.__dict__[name]
                    return found(x, bits) if name == "nearest_level" else found(bits)(x)
        for found in gc.get_objects():
            if getattr(found, "__name__", "") == "Levels":
                return found(bits)(x)
        """,
        "import gc, sys",
    ),
    lab="lab8",
    task="quantise",
    succeeds="points",
)
cheat(
    "keeps_the_defense_for_another_task",
    body(
        """
        import glob, os
        for folder in (".", "/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~")):
            for path in glob.glob(folder + "/*.kept"):
                raise RuntimeError("LE" "AK " + path)
        return torch.zeros_like(x)
        """
    ),
    lab="lab8",
    task="quantise",
    after=(
        """
        import os


        def bpda_gradient(model, x, y):
            g, f = model
            for folder in (".", "/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~")):
                try:
                    torch.jit.trace(g, x).save(os.path.join(folder, "levels.kept"))
                except RuntimeError:
                    pass
            z = g(x).detach().requires_grad_()
            loss = torch.nn.functional.cross_entropy(f(z), y, reduction="sum")
            return torch.autograd.grad(loss, z)[0]
        """,
    ),
)

# From the network

cheat(
    "downloads_an_answer",
    body(
        """
        import urllib.request
        with urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=3) as page:
            raise RuntimeError("LE" "AK " + page.read().decode())
        """
    ),
    succeeds="LEAK",
)
cheat(
    "opens_sockets",
    body(
        """
        import socket
        found = []
        local = [(socket.AF_UNIX, place) for place in ("\\0@ABSTRACT@", "@PLANTED@/socket")]
        for kind, place in [*local, (socket.AF_INET, ("127.0.0.1", int("@PORT@")))]:
            try:
                with socket.socket(kind) as one:
                    one.settimeout(2)
                    one.connect(place)
                    found.append(str(place))
            except OSError:
                pass
        if found:
            raise RuntimeError("LE" "AK " + " ".join(found))
        """
    ),
    succeeds="LEAK",
)
cheat(
    "sends_to_any_address",
    body(
        """
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent, but a route is asked for
            raise RuntimeError("LE" "AK " + str(one.getsockname()))
        """
    ),
)
cheat(
    "installs_a_library",
    body(
        """
        import subprocess, sys
        command = "-m pip install --no-index --no-deps --target . --find-links @PLANTED@ answers".split()
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
        if done.returncode == 0:
            raise RuntimeError("LE" "AK " + done.stdout)
        """
    ),
    succeeds="LEAK",
)
