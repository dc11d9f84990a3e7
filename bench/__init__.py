"""The bench: the gateway measured beside the least program that does the same work, in one run.

It stands outside the product: simulator, subscriber, floor and proxy share no code with the gateway.
"""
