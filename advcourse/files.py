"""Writing files so that nobody ever sees half of one."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """A temporary path beside `path`. It becomes `path` when the block ends well, and is removed when it does not.

    The temporary name ends like `path`, so that writers which go by the ending are content.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
