"""Errors that a user can mend."""

import pickle

import pytest

from dcgan_dist.errors import InputError, require


def test_a_caller_with_other_names_renames_whole_fields_only_and_those_with_a_value() -> None:
    error = InputError("`out` /out cannot be written: choose another `out`, or `out_of` this")

    renamed = "`rewrite` /out cannot be written: choose another `rewrite`, or `out_of` this"
    assert str(error.renamed(out="rewrite")) == renamed
    assert str(error.renamed(source="data")) == str(error)
    assert str(InputError("use `crop=centre`").renamed(crop="data.crop")) == "use `data.crop=centre`"


def test_an_error_keeps_its_message_between_processes() -> None:
    error = pickle.loads(pickle.dumps(InputError("`out` is full")))  # noqa: S301 - our own; as Ray sends it

    assert type(error) is InputError
    assert str(error) == "`out` is full"


def test_what_is_required_raises_only_where_it_does_not_hold() -> None:
    require(True, "`seed` 1")

    with pytest.raises(InputError, match="`seed` -1"):
        require(False, "`seed` -1")
