"""A hook of hatchling: the project's description on PyPI is the README, with links to the files of this version.

On PyPI, relative links lead nowhere and headings have no anchors. hatchling runs this for each build, an editable one
too, and loads this file alone: its folder is not in sys.path.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from links import absolute


class Description(MetadataHookInterface):
    """Sets `readme`, which pyproject.toml lists as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = absolute(readme, "README.md", metadata["urls"]["Source"], f"v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
