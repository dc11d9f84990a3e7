"""What a user can rely on, tried on a whole box: ``pytest hil/tests --bench=local|qemu|FILE``.

The modules tell one box's life, in order: they share it, and each begins with what the ones before left.
"""
