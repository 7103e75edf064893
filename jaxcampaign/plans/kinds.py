"""The kinds of plan that there are."""

from __future__ import annotations

from typing import Any

from jaxcampaign.errors import InputError
from jaxcampaign.plans.campaign_plans import CampaignPlans
from jaxcampaign.plans.kind import Kind
from jaxcampaign.plans.slot_plans import SlotPlans
from jaxcampaign.problems import Campaign, Problem

_SLOTS, _CAMPAIGN = SlotPlans(), CampaignPlans()
_KINDS: dict[str, Kind] = {kind.command: kind for kind in (_SLOTS, _CAMPAIGN)}


def kind_of(problem: Problem) -> Kind:
    """The kind of a problem's plans."""
    return _CAMPAIGN if isinstance(problem, Campaign) else _SLOTS


def kind_named(command: Any) -> Kind:
    """The kind of the plans that a command makes, as run.json states it.

    Raises:
      InputError: no command is called so.
    """
    found = _KINDS.get(command) if isinstance(command, str) else None
    if found is None:
        raise InputError(
            "makes no plans",
            table="run.json",
            column="command",
            value=command,
            remedy=f"it is one of {', '.join(_KINDS)}; make the plan again",
        )
    return found
