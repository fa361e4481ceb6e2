"""Chapter 09, "Somebody else's glasses": the cells to fill in, each in a file of its own."""
