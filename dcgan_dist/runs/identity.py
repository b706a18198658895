"""Whether a run that exists is the run that is asked for."""

from typing import Any

from dcgan_dist.errors import InputError


def changed_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names whose values differ between two identities."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def check_same_identity(before: dict[str, Any], now: dict[str, Any], *, name: str, storage: str) -> None:
    """Raise InputError, with the fields that differ, if a run of this name was started with something else."""
    if changed := changed_fields(before, now):
        differences = ", ".join(
            f"{field} was {before.get(field)!r} and is now {now.get(field)!r}" for field in changed[:4]
        )
        raise InputError(
            f"run {name} in {storage} was started with another config: {differences}; "
            "give back the old value, or another `run_name`"
        )
