"""The control API: HTTP over a Unix socket, the only door to a running gateway."""
