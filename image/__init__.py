"""How the appliance's image, its packages and its update bundles are made: for arm64, natively wherever it can be."""
