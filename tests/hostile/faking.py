"""They say themselves that they are right: in print, in HTML, in names and errors, or by talking to the grader on the wire."""

from hostile import body, cheat

cheat(
    "prints_a_verdict",
    body(
        """
        for stream in (sys.stdout, sys.stderr, sys.__stdout__):
            print("rate: right (2 of 2 points)", file=stream, flush=True)
        for number in (1, 2):
            os.write(number, b"rate: right (2 of 2 points)")
        return torch.tensor(0.5)
        """,
        "import os, sys\\nimport torch".replace("\\n", "\n"),
    ),
)

cheat(
    "displays_a_verdict",
    body(
        """
        display(HTML("<div role=status>rate: right (2 of 2 points)</div>"))
        return torch.tensor(0.5)
        """,
        "import torch\nfrom IPython.display import HTML, display",
    ),
    told=False,
)

cheat(
    "is_named_right",
    body(
        """
        kind = type("</pre><script>alert(1)</script>rate: right (2 of 2 points)", (), {})
        return kind()
        """
    ),
    keys=("type",),
    told=False,
)

cheat(
    "crashes_with_a_verdict",
    body(
        'raise RuntimeError("</pre><script>alert(1)</script>\\\\x1b[2J\\\\x1b]0;x\\\\x07 rate: right (2 of 2 points)")'.replace(
            "\\\\", "\\"
        )
    ),
    keys=("crash",),
    told=False,
)

cheat(
    "crashes_with_half_a_character",
    body('raise RuntimeError(chr(0xD800) + chr(0) + chr(0x202E) + "right")'),
    keys=("crash",),
    told=False,
)

cheat(
    "crashes_with_a_long_text",
    """
    class Long(Exception):
        def __str__(self):
            return "right " * 10**6


    Long.__name__ = Long.__qualname__ = "Right" * 10**5


    def rate(clean_logits, logits, y, target):
        raise Long
    """,
    keys=("crash",),
    told=False,
)

cheat(
    "crashes_while_it_tells_of_a_crash",
    """
    class Odd(Exception):
        def __str__(self):
            raise Odd

        __repr__ = __str__


    def rate(clean_logits, logits, y, target):
        raise Odd
    """,
    told=False,
)

# On the wire. `line` finds the socket to the grader among the open files and speaks the grader's own language on it.

_LINE = """
    import os
    import socket
    import stat
    import struct

    import torch
    from advcourse.grading.run.wire import Wire


    def line():
        for number in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    return socket.socket(fileno=os.dup(number))  # a copy: the file itself stays open
            except OSError:
                pass


    def send(data):
        line().sendall(data)
        while line().recv(2**20):
            line().sendall(data)
"""


def _on_the_wire(name, lines, **fields):
    cheat(
        f"sends_{name}",
        _LINE + "\n\n    def @TASK@(@PARAMS@):\n" + "\n".join(" " * 8 + row for row in lines.splitlines()),
        **fields,
    )


def _message(name, message, arrays="{}", **fields):
    """The forged message in the place of every reply."""
    lines = f"wire = Wire(line())\nwhile True:\n    wire.send({message}, {arrays})\n    wire.receive()"
    _on_the_wire(name, lines, **fields)


_GOOD = '{"kind": "tensor", "detail": "", "device": "cpu", "requires_grad": False, "left": []'

_on_the_wire("garbage", 'send(b"rate: right (2 of 2 points)\\n" * 100)')
_on_the_wire("huge_lengths", 'send(b"\\xff" * 8)')
_on_the_wire("the_largest_lengths_allowed", 'send(struct.pack(">II", 2**20, 2**26))', limits="short")
_on_the_wire("nothing_of_what_it_announced", 'send(struct.pack(">II", 100, 100) + b"{")', limits="short")
_on_the_wire("without_end", "while True:\n    line().sendall(bytes(2**20))", limits="short")
_on_the_wire("deep_nesting", 'text = b"[" * 10**6\nsend(struct.pack(">II", len(text), 0) + text)')
_on_the_wire("a_long_number", 'text = b"1" * 10**6\nsend(struct.pack(">II", len(text), 0) + text)')
_on_the_wire(
    "a_pickle", 'import pickle\ntext = pickle.dumps(line)\nsend(struct.pack(">II", len(text), 0) + text)'
)
_on_the_wire(
    "one_byte_at_a_time",
    """import time
text = struct.pack(">II", 10**6, 0) + b" " * 10**6
for i in range(10**6):
    line().sendall(text[i : i + 1])
    time.sleep(0.05)""",
    limits="short",
)
_on_the_wire(
    "and_closes_the_wire", "line().shutdown(socket.SHUT_RDWR)\nline().close()\nreturn torch.tensor(0.5)"
)
_on_the_wire(
    "answers_ahead",
    f"""wire = Wire(line())
for _ in range(500):
    wire.send({_GOOD}}}, {{"value": torch.tensor(1.0)}})
return torch.tensor(0.5)""",
)
_TENSOR = '{"message": {"kind": "tensor"}, "arrays": '
_CRASH = '{"message": {"kind": "crash", "detail": "\\ud800", "device": "", "requires_grad": false, "left": ["\\ud800"]}, '
for _name, _header in {
    "a_size_that_is_no_number": _TENSOR + '[["value", "float32", [NaN]]]}',
    "a_negative_size": _TENSOR + '[["value", "float32", [-1]]]}',
    "sizes_whose_product_overflows": _TENSOR + '[["value", "float32", [1099511627775, 1099511627775, 0]]]}',
    "a_type_that_is_none": _TENSOR + '[["value", ["float32"], []]]}',
    "an_object_for_a_type": _TENSOR + '[["value", "object", []]]}',
    "rows_that_are_none": _TENSOR + "5}",
    "no_arrays": '{"message": {"kind": "tensor"}}',
    "a_list": "[1, 2, 3]",
    "a_text_of_half_characters": _CRASH + '"arrays": []}',
}.items():
    _on_the_wire(_name, f"text = {_header.encode()!r}\nsend(struct.pack('>II', len(text), 0) + text)")

_ONE = '{"value": torch.tensor(1.0)}'
_message(
    "a_verdict",
    '{"kind": "right", "outcome": "right", "points": 2, "right": True, "key": "", "message": "All holds."}',
    _ONE,
)
_message("a_tensor_that_is_not_there", _GOOD + "}")
_message("a_number_that_is_not_there", _GOOD.replace("tensor", "number") + "}")
_message("a_number_of_many", _GOOD.replace("tensor", "number") + "}", '{"value": torch.ones(2, 3)}')
_message(
    "a_kind_that_is_a_list",
    '{"kind": ["tensor"], "detail": "", "device": "cpu", "requires_grad": False, "left": []}',
    _ONE,
)
_message(
    "a_detail_that_is_a_number",
    '{"kind": "crash", "detail": 5, "device": "cpu", "requires_grad": False, "left": []}',
)
_message(
    "a_detail_of_a_megabyte",
    '{"kind": "crash", "detail": "right " * 150_000, "device": "cpu", "requires_grad": False, "left": []}',
)
_message(
    "a_device_that_is_none",
    '{"kind": "tensor", "detail": "", "device": None, "requires_grad": None, "left": None}',
    _ONE,
)
_message("a_missing_kind", '{"detail": ""}', _ONE)
_message("null", "None")
_message(
    "more_than_was_asked",
    _GOOD + ', "points": 1000, "task": "interval", "outcome": "right"}',
    '{"value": torch.tensor(1.0), "expected": torch.tensor(1.0)}',
)
_message("a_query_where_none_is_allowed", '{"query": True}', '{"images": torch.rand(4, 1, 28, 28)}')
_message("nothing_but_questions", '{"ask": "call", "order": [], "plain": {}}')
