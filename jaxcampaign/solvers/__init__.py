"""How an answer is sought: one verb, one algorithm a file."""

from jaxcampaign.solvers.base import Clock, Finding, Solver
from jaxcampaign.solvers.baselines import RandomAllocation, TopK
from jaxcampaign.solvers.bicriteria import BicriteriaGreedy
from jaxcampaign.solvers.branch_and_cut import BranchAndCut
from jaxcampaign.solvers.brute_force import BruteForce
from jaxcampaign.solvers.campaign.dual_decomposition import DualDecomposition
from jaxcampaign.solvers.campaign.frontier import Frontier, frontier
from jaxcampaign.solvers.campaign.solution import CampaignSolution
from jaxcampaign.solvers.greedy import Greedy, StochasticGreedy
from jaxcampaign.solvers.lp_rounding import LPRounding
from jaxcampaign.solvers.mixed_integer import MixedInteger
from jaxcampaign.solvers.permutation import PermutationSampling
from jaxcampaign.solvers.solution import Solution
from jaxcampaign.solvers.solve import choose_solver, solve

__all__ = [
    "BicriteriaGreedy",
    "BranchAndCut",
    "BruteForce",
    "CampaignSolution",
    "Clock",
    "DualDecomposition",
    "Finding",
    "Frontier",
    "Greedy",
    "LPRounding",
    "MixedInteger",
    "PermutationSampling",
    "RandomAllocation",
    "Solution",
    "Solver",
    "StochasticGreedy",
    "TopK",
    "choose_solver",
    "frontier",
    "solve",
]
