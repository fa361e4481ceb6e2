"""The museum: right and wrong answers to the labs, as students write them. Each wrong one names the mistake it must be told."""

import answers


class Room(answers.Room):
    """Collects the answers to one task."""

    def __init__(self, task):
        super().__init__(task)

    def right(self, function):
        self.rights.append(function)
        return function

    def wrong(self, key):
        def hang(function):
            self.wrongs.append((key, function))
            return function

        return hang
