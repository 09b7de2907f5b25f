"""All that knows git: what an agent changed, workspaces, repositories, and settings that keep git from running code."""
