"""The Yocto layer's recipes of Python packages, made from `requirements/runtime.lock`.

A box built with Yocto runs the same versions as any other, but for those that `packages.toml` gives a reason for.
"""
