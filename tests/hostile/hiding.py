"""They change how the notebook is read, or hide code where a reader does not look: hooks of IPython, magics, files, odd text."""

from hostile import body, cheat

_WRONG = body("return torch.tensor(0.5)")

cheat(
    "drops_asserts_by_an_ast_transformer",
    _WRONG,
    before=(
        """
        import ast


        class NoAsserts(ast.NodeTransformer):
            def visit_Assert(self, node):
                return ast.Pass()


        get_ipython().ast_transformers.append(NoAsserts())
        """,
    ),
)

cheat(
    "rewrites_every_cell",
    _WRONG,
    before=(
        """
        def points(lines):
            return [line.replace("check(", "print(") for line in lines]


        get_ipython().input_transformers_cleanup.append(points)
        """,
    ),
)

cheat(
    "replaces_checks_through_events",
    _WRONG,
    before=(
        """
        import advcourse.labs.lab4 as lab


        def again(*_):
            lab.LAB.__class__.check = lambda self, function, *rest: "rate: right (2 of 2 points)"


        get_ipython().events.register("pre_run_cell", again)
        """,
    ),
)

cheat(
    "writes_the_answer_to_a_file",
    """
    %%writefile answers.py
    import json


    def rate(*values):
        raise RuntimeError("LE" "AK " + open("@PLANTED@/secret.txt").read())
    """,
    after=("from answers import rate",),
)

cheat(
    "runs_a_shell",
    body(
        """
        found = get_ipython().getoutput("cat @PLANTED@/secret.txt")
        if found:
            raise RuntimeError("LE" "AK " + str(found))
        """
    ),
    before=("!cat @PLANTED@/secret.txt > found.txt", "%run -i found.txt", "%load_ext answers"),
)

cheat(
    "starts_a_shell_from_the_answer",
    body(
        """
        found = subprocess.run(["cat", "@PLANTED@/secret.txt"], capture_output=True, text=True).stdout
        if found:
            raise RuntimeError("LE" "AK " + found)
        """,
        "import subprocess",
    ),
    succeeds="LEAK",
)

cheat(
    "hides_an_import_in_text",
    """
    import torch


    def rate(clean_logits, logits, y, target):
        secret = bytes.fromhex("696d706f7274206f73").decode()  # import os
        own = {}
        exec(secret, own)
        found = own["os"].popen("cat @PLANTED@/secret.txt").read()
        if found:
            raise RuntimeError("LE" "AK " + found)
    """,
    succeeds="LEAK",
)

cheat(
    "climbs_up_the_classes",
    body(
        """
        for kind in ().__class__.__base__.__subclasses__():
            if kind.__name__ == "_wrap_close":
                found = kind.__init__.__globals__["popen"]("cat @PLANTED@/secret.txt").read()
                if found:
                    raise RuntimeError("LE" "AK " + found)
        """
    ),
    succeeds="LEAK",
)

for _name, _way in {
    "through_torch": "import torch\n\nos = torch.serialization.os",
    "by_an_import_from_torch": "from torch.serialization import os",
    "through_random": "import random\n\nos = random._os",
    "through_numpy": "import numpy as np\n\nos = np.testing._private.utils.os",
}.items():
    cheat(
        f"finds_the_system_{_name}",
        body(
            """
            found = [value for value in os.environ.values() if "-".join(("planted", "")) in value]
            if found:
                raise RuntimeError("LE" "AK " + found[0])
            """,
            _way,
        ),
        succeeds="LEAK",
    )

cheat(
    "plants_modules_for_later",
    body(
        """
        text = "raise SystemExit('planted')"
        for name in ("torch", "numpy", "sitecustomize", "usercustomize", "json", "struct", "advcourse", "answers"):
            for folder in (".", os.path.expanduser("~/.local/lib/python3.11/site-packages"), *sys.path):
                try:
                    os.makedirs(folder, exist_ok=True)
                    with open(os.path.join(folder, name + ".py"), "w") as file:
                        file.write(text)
                    with open(os.path.join(folder, name + ".pth"), "w") as file:
                        file.write("import os; os._exit(0)")
                except OSError:
                    pass
        return torch.tensor(0.5)
        """,
        "import os, sys\nimport torch",
    ),
)

cheat(
    "is_written_in_letters_that_look_alike",
    """
    import torch


    def rаte(clean_logits, logits, y, target):  # its second letter is Cyrillic
        return torch.tensor(1.0)


    def rate(clean_logits, logits, y, target):
        return rаte(clean_logits, logits, y, target)
    """,
    told=False,
)

for _name, _text in {
    "a_sum_of_a_hundred_thousand_terms": "x = 1" + " + 1" * 100_000,
    "a_hundred_thousand_signs": "x = " + "-" * 100_000 + "1",
    "ten_thousand_brackets": "x = " + "(" * 10_000 + ")" * 10_000,
    "a_thousand_nested_blocks": "\n".join(" " * i + "if 1:" for i in range(1000)),
    "a_chain_of_a_hundred_thousand_attributes": "x = torch" + ".Tensor" * 100_000,
    "a_null_byte": "x = 1\0",
    "half_a_character": "x = '\ud800'",
    "a_thousand_magics": "!true\n" * 1000,
}.items():
    cheat(f"holds_{_name}", _WRONG, before=(_text,), told=False)

cheat(
    "is_a_sum_of_a_hundred_thousand_terms",
    body("return " + " + ".join(["torch.tensor(0.5)"] * 100_000)),
    told=False,
)
