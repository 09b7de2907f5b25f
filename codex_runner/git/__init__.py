"""Everything about git: an agent's changes, workspaces, repositories, and settings that keep git from running code."""
