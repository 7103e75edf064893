"""Settings that all tests share."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="session")
def keys_are_used_once():
    with jax.debug_key_reuse(True):
        yield
