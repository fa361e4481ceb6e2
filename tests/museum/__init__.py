"""The museum: right and wrong answers to the labs, as students write them. Each wrong one names the mistake it must be told."""

from dataclasses import dataclass, field


@dataclass
class Room:
    """The answers to one task: `rights`, and `wrongs` with the key of the finding that each must meet."""

    task: str
    rights: list = field(default_factory=list)
    wrongs: list = field(default_factory=list)

    def right(self, function):
        self.rights.append(function)
        return function

    def wrong(self, key):
        def hang(function):
            self.wrongs.append((key, function))
            return function

        return hang
