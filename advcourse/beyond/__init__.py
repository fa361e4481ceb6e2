"""Beyond images: attacks on nets that read sentences (`text`), play games (`reinforcement`) and hear spoken digits (`speech`)."""
