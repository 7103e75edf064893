"""Settings that all tests share."""

import jax
import pytest


@pytest.fixture(autouse=True)
def keys_are_used_once():
    with jax.debug_key_reuse(True):
        yield
