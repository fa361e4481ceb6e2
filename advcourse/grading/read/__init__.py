"""What a hand-in holds: archives, folders and names, notebooks, the answers in them. Nothing of a student's is executed here."""
