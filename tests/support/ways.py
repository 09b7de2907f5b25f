"""Ways to attack a promise: a table of them, of which only the telling ones run every day."""

import pytest


def ways(table, everyday=()):
    """Return the parameters of a test: the names of a table's rows. All but the `everyday` ones are thorough."""
    return [pytest.param(name, marks=() if name in everyday else pytest.mark.thorough, id=name) for name in table]


def some(count, *, everyday):
    """Return the numbers below `count`, one a random trial. Each night all of them are tried, else so many."""
    return [pytest.param(number, marks=() if number < everyday else pytest.mark.thorough) for number in range(count)]
