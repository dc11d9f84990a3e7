"""How the appliance's image, its packages and its update bundles are made.

Builds for arm64 on amd64, natively wherever it can be.
"""
