"""Finding out what is wrong: the way to a device or broker, the wire, the path of one tag, what needs repair."""
