"""What makes two things the same: `identity(value)`, one key for equal things, another for what could answer differently."""

from advcourse.identity.code import code_digest
from advcourse.identity.known import stands_for
from advcourse.identity.values import digest
from advcourse.identity.walk import FRESH, IdentityWarning, identity, is_fresh

__all__ = ["FRESH", "IdentityWarning", "code_digest", "digest", "identity", "is_fresh", "stands_for"]
