"""Chapter 03, "Many steps": the cells to fill in, each in a file of its own."""
