"""Another host, reached through a carrier: the same supervisor, over a connection that may break."""
