"""Brokers, peers and proxies that tests start for real."""
