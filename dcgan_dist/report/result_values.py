"""All values of a result, whatever its job, for the appendix of a report."""

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from dcgan_dist.cli.html_page import table
from dcgan_dist.cli.progress import percent


def values(content: dict[str, Any]) -> Markup:
    """Nested values: what has the same names side by side as a table, all else as rows of dotted name and value.

    Shares with an interval stand on one line, long lists are cut.
    """
    rows: list[tuple[str, Any]] = []
    families: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for name, value in _nodes("", content):
        if not isinstance(value, dict) or _is_share(value):
            rows += [(name, _shown(value))] if value is not None else []
        elif name and value and all(isinstance(number, int | float) for number in value.values()):
            families.setdefault(tuple(value), {})[name] = list(value.values())
    tables = []
    for names, members in families.items():
        if len(members) > 1 and len(names) > 1:
            columns = ["", *(name.replace("_", " ") for name in names)]
            tables.append(table(columns, [[member, *figures] for member, figures in members.items()]))
            shown = {f"{member}.{name}" for member in members for name in names}
            rows = [row for row in rows if row[0] not in shown]
    return Markup("").join([*tables, table(("figure", "value"), rows)] if rows else tables)


def _nodes(name: str, content: Any) -> Iterable[tuple[str, Any]]:
    """Nested values by dotted name, dictionaries before what they hold; a share with its interval is one value."""
    yield name, content
    if isinstance(content, dict) and not _is_share(content):
        for key, value in content.items():
            yield from _nodes(f"{name}.{key}" if name else str(key), value)


def leaves(content: dict[str, Any]) -> dict[str, Any]:
    """Nested values by dotted name."""
    return {name: value for name, value in _nodes("", content) if not isinstance(value, dict)}


def _is_share(content: dict[str, Any]) -> bool:
    return {"k", "n", "share", "low", "high"} <= content.keys()


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        count = f"{value['k']:,} of {value['n']:,}"
        low, high = percent(value["low"], 1), percent(value["high"], 1)
        return f"{percent(value['share'], 1)} ({count}; 95 % interval {low} to {high})"
    if isinstance(value, list):
        shown = ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in value[:20])
        return shown + (f", ... ({len(value)} in all)" if len(value) > 20 else "")
    return value
