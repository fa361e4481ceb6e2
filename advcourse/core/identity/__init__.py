"""When two things count as the same: `identity(value)` gives equal things one key, and things that could differ another."""

from advcourse.core.identity.code import code_digest
from advcourse.core.identity.known import stands_for
from advcourse.core.identity.values import digest
from advcourse.core.identity.walk import FRESH, IdentityWarning, identity, is_fresh

__all__ = ["FRESH", "IdentityWarning", "code_digest", "digest", "identity", "is_fresh", "stands_for"]
