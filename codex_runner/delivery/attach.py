"""Labels, reviewers and assignees, one by one: each that fails is a sentence, and undoes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import CredentialError, DeliveryError, ForgeUnreachableError
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from codex_runner.delivery.http import ForgeClient
    from codex_runner.domain.delivery import Decoration

    Attach = Callable[[str], Awaitable[bool]]


async def attach(
    client: ForgeClient, decoration: Decoration, *, label: Attach, reviewer: Attach, assignee: Attach
) -> Sequence[str]:
    """Add all that a decoration names. Returns a sentence for each that failed.

    Each function adds one, and returns whether the forge shows it afterwards. Once the forge is not reached, the rest
    is not tried.
    """
    wanted = [
        *(("label", name, label) for name in decoration.labels),
        *(("reviewer", name, reviewer) for name in decoration.reviewers),
        *(("assignee", name, assignee) for name in decoration.assignees),
    ]
    sentences: list[str] = []
    for count, (what, name, add) in enumerate(wanted):
        shown = f"The {what} {one_line(name, 100)!r} was not added"
        try:
            with client.understood("add it"):
                if not await add(name):
                    sentences.append(f"{shown}: {client.name} left it out; it may not exist, or lack the rights.")
        except ForgeUnreachableError as error:
            rest = len(wanted) - count - 1
            more = f" Nor were {rest} more labels, reviewers or assignees tried." if rest else ""
            return [*sentences, f"{shown}: {error.message}{more}"]
        except (DeliveryError, CredentialError) as error:
            sentences.append(f"{shown}: {error.message}")
    return sentences
