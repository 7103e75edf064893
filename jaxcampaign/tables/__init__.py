"""Tables in and out: schemas, files, and seeded synthetic worlds."""

from jaxcampaign.tables.campaign_schemas import CAMPAIGN_SCHEMAS, OPTION_KEY
from jaxcampaign.tables.database import Database, DatabaseSource, open_database
from jaxcampaign.tables.files import replacing
from jaxcampaign.tables.foursquare import audiences_from_categories, read_foursquare
from jaxcampaign.tables.overlap import check_overlap
from jaxcampaign.tables.random_pairs import PairArrays, Pairs, synth_pair_arrays, synth_pairs
from jaxcampaign.tables.schemas import SCHEMAS, validate
from jaxcampaign.tables.sources import (
    Source,
    read_audiences,
    read_billboards,
    read_checkins,
    read_demands,
    read_pairs,
    read_slots,
    read_table,
    write_table,
)
from jaxcampaign.tables.synthetic import City, synth_city
from jaxcampaign.tables.synthetic_campaign import SyntheticCampaign, synth_campaign

__all__ = [
    "CAMPAIGN_SCHEMAS",
    "OPTION_KEY",
    "SCHEMAS",
    "City",
    "Database",
    "DatabaseSource",
    "PairArrays",
    "Pairs",
    "Source",
    "SyntheticCampaign",
    "audiences_from_categories",
    "check_overlap",
    "open_database",
    "read_audiences",
    "read_billboards",
    "read_checkins",
    "read_demands",
    "read_foursquare",
    "read_pairs",
    "read_slots",
    "read_table",
    "replacing",
    "synth_campaign",
    "synth_city",
    "synth_pair_arrays",
    "synth_pairs",
    "validate",
    "write_table",
]
