"""Networks and defenses as they are deployed, and how those that ship with the library are trained (`recipes`)."""

from advcourse.zoo.deployed import DEFENSES, EPS, FPR, RADIUS, DeployedDefense, itself, load, names

__all__ = ["DEFENSES", "EPS", "FPR", "RADIUS", "DeployedDefense", "itself", "load", "names"]
