"""The audit: eighteen checks, after the contract, of whether a robust accuracy is to be believed."""

from advcourse.evaluation.audit.findings import CHECKS, Finding, Findings, Witness
from advcourse.evaluation.audit.running import Audit, audit

__all__ = ["CHECKS", "Audit", "Finding", "Findings", "Witness", "audit"]
