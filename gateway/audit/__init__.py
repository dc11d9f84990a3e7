"""The audit log: who changed what, in rows that vouch for each other and can only be appended."""

from gateway.audit.chain import AuditError
from gateway.audit.log import AuditLog
from gateway.audit.row import Row
from gateway.audit.verify import Finding, Verification, verify

__all__ = ["AuditError", "AuditLog", "Finding", "Row", "Verification", "verify"]
