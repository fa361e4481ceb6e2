"""Networks and defenses as they are deployed, and how those that ship with the library are trained."""
