"""Backup and restore: one file that holds what makes a gateway this gateway."""
