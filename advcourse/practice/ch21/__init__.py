"""Chapter 21, "Beyond images": the cells to fill in, each in a file of its own."""
