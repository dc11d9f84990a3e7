"""Who may come in: users, tokens for programs, and the one-time code that makes the first admin."""

from gateway.accounts.accounts import CLAIM_FILE, FILE, Accounts, Pass
from gateway.accounts.model import Token, User
from gateway.accounts.problems import AccountError

__all__ = ["CLAIM_FILE", "FILE", "AccountError", "Accounts", "Pass", "Token", "User"]
