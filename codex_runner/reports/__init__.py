"""What a run leaves for people and machines: the state in, text out."""
