"""The labs. A lab is a package of this room, which holds its tasks, and a notebook in `solutions/`."""
