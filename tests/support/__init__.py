"""What several tests share: children that misbehave, hosts that are made up, runs that are put together."""
