"""Read what students hand in: archives, folders and names, notebooks, answers. No student code is executed here."""
