"""Plan folders: what a finished plan is on disk, and how it is rechecked without any solver."""

from jaxcampaign.plans.billboards import BillboardInputs, load_billboards
from jaxcampaign.plans.campaigns import CampaignInputs, load_campaign
from jaxcampaign.plans.folder import Plan, certificate_record, read_plan, write_plan
from jaxcampaign.plans.verify import Claim, verify_plan

__all__ = [
    "BillboardInputs",
    "CampaignInputs",
    "Claim",
    "Plan",
    "certificate_record",
    "load_billboards",
    "load_campaign",
    "read_plan",
    "verify_plan",
    "write_plan",
]
