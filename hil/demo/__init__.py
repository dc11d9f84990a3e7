"""``tidegate demo``: a whole plant on one screen, from simulated registers to an MQTT subscriber."""
